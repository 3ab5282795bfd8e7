"""What InvokeAI does with a file that is added to its models."""

from collections.abc import Mapping

from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import Content, names
from pseudoword.formats.advice.shared import (
    PICTURES,
    are,
    convert,
    encoders_of,
    is_dict,
    no_word,
    other_models,
    rename,
)
from pseudoword.formats.sorting import rows_of


def outlook(content: Content, word: Concept) -> str:
    """What happens to `word` in the file."""
    into = convert(word, "kohya")
    if content.container in PICTURES:
        return f"reads no pictures{into}"
    hopeless = (
        no_word(content, word)
        or rename(content, content.path.suffix, ".ckpt")
        or other_models(content, word)
    )
    if hopeless:
        return hopeless
    if not _is_known(content, word):
        return f"does not tell what such a file is{into}"
    trigger = names.for_invokeai(content.path.stem)
    if trigger is None:
        return "add it to the models, name it there in plain letters, then write <the name>"
    return f"add it to the models, then write {trigger}"


def _is_known(content: Content, word: Concept) -> bool:
    """Whether it tells by itself what the file is, and then loads the word from it."""
    items = content.loose.items
    if not is_dict(content) or "ParameterDict" in content.loose.odd:
        return False
    rows = next(iter(word.vectors.values()))
    if "string_to_param" in items or "string_to_token" in items:
        holder = items.get("string_to_param")
        first = next(iter(holder.values()), None) if isinstance(holder, Mapping) else None
        return "string_to_token" in items and are(first, rows, 2)
    if "emb_params" in items:
        return are(items["emb_params"], rows, 2)
    if set(items) == {"clip_g"}:  # by its width it tells the model, whatever the key says
        return are(items["clip_g"], rows, 2)
    if "clip_g" in items:
        by_key = encoders_of(rows_of(content.loose))
        return by_key.get("clip_g") == "clip_g" and by_key.get("clip_l") == "clip_l"
    # of other small files it takes the first size of the first tensor for the width
    several = list(items.values())
    small = len(several) < 10 and all(isinstance(item, Tensor) for item in several)
    return small and len(word.vectors) == 1 and are(several[0], rows, 1)
