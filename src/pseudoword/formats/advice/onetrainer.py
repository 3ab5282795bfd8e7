"""What OneTrainer does with a file that is given as a base embedding, to go on learning from it."""

from collections.abc import Mapping

from pseudoword.concept import Concept
from pseudoword.formats import keys
from pseudoword.formats.advice.shared import PICTURES, convert_hint, holds_rows, is_dict, unusable
from pseudoword.formats.embedding_file import EmbeddingFile

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


def advise(file: EmbeddingFile, word: Concept) -> str:
    """What happens to `word` in the file."""
    hint = convert_hint(word, "onetrainer")
    plain = {keys.base_encoder(key): key for key in word.vectors}
    theirs = KEYS.get(frozenset(plain))
    if theirs is None or keys.is_layered(word.vectors):
        return "learns no words for these models"
    if file.container in PICTURES:
        return f"reads no pictures{hint}"
    output = any(key.endswith(keys.OUTPUT_SUFFIX) for key in word.vectors)
    obstacle = None if output else unusable(file, word)
    if obstacle:
        return obstacle
    if not is_dict(file) or "ParameterDict" in file.raw.quirks:
        return f"looks for keys of its own{hint}"
    for encoder, key in plain.items():
        found = file.raw.items.get(theirs[encoder] + key.removeprefix(encoder))
        if not holds_rows(found, word.vectors[key], 2):
            return f"looks for keys of its own{hint}"
    kind = "base embedding, as an output embedding," if output else "base embedding"
    return f"choose it as the {kind} with a placeholder of your own"
