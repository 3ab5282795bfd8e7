"""What OneTrainer does with a file that is given as a base embedding, to go on learning from it."""

from collections.abc import Mapping

from pseudoword.concept import Concept
from pseudoword.formats import Content, keys
from pseudoword.formats.advice.shared import PICTURES, are, convert, is_dict, no_word

_LARGE = {"clip_l": "clip_l", "clip_g": "clip_g", "t5xxl": "t5"}

KEYS: Mapping[frozenset[str], Mapping[str, str]] = {
    frozenset(found): found
    for found in (
        {"clip_l": "emp_params"},
        {"clip_h": "emp_params"},
        {"clip_g": "clip_g"},
        {"clip_l": "clip_l", "clip_g": "clip_g"},
        {"clip_l": "clip_l", "t5xxl": "t5"},
        {"t5xxl": "t5"},
        {"gemma2_2b": "gemma"},
        {"clip_l": "clip_l", "llama": "llama"},
        _LARGE,
        {**_LARGE, "llama": "llama"},
    )
}
"""For the encoders of each model that it learns words for: ours -> its key."""


def outlook(content: Content, word: Concept) -> str:
    """What happens to `word` in the file."""
    into = convert(word, "onetrainer")
    plain = {keys.base_encoder(key): key for key in word.vectors}
    theirs = KEYS.get(frozenset(plain))
    if theirs is None or keys.layered(word.vectors):
        return "learns no words for these models"
    if content.container in PICTURES:
        return f"reads no pictures{into}"
    output = any(key.endswith(keys.OUTPUT) for key in word.vectors)
    hopeless = None if output else no_word(content, word)
    if hopeless:
        return hopeless
    if not is_dict(content) or "ParameterDict" in content.loose.odd:
        return f"looks for keys of its own{into}"
    for encoder, key in plain.items():
        found = content.loose.items.get(theirs[encoder] + key.removeprefix(encoder))
        if not are(found, word.vectors[key], 2):
            return f"looks for keys of its own{into}"
    kind = "base embedding, as an output embedding," if output else "base embedding"
    return f"choose it as the {kind} with a placeholder of your own"
