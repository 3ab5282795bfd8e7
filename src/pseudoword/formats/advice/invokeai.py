"""What InvokeAI does with a file that is added to its models."""

from collections.abc import Mapping

from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import Content, names
from pseudoword.formats.advice.shared import (
    PICTURES,
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
    if not _is_known(content):
        return f"does not tell what such a file is{into}"
    trigger = names.for_invokeai(content.path.stem)
    if trigger is None:
        return "add it to the models, name it there in plain letters, then write <the name>"
    return f"add it to the models, then write {trigger}"


def _is_known(content: Content) -> bool:
    """Whether it tells by itself what the file is, and then loads the word from it."""
    items = content.loose.items
    if not is_dict(content) or len(content.concepts) > 1 or "ParameterDict" in content.loose.odd:
        return False
    if content.layout == "bundle":
        return False
    if "string_to_param" in items:
        holder = items["string_to_param"]
        inside = list(holder.values()) if isinstance(holder, Mapping) else []
        found = len(inside) == 1 and isinstance(inside[0], Tensor) and inside[0].ndim == 2
        return found and "string_to_token" in items
    if "emb_params" in items:
        return isinstance(items["emb_params"], Tensor) and items["emb_params"].ndim == 2
    by_key = encoders_of(rows_of(content.loose))
    if set(items) == {"clip_g"}:  # by its width it tells the model, whatever the key says
        return items["clip_g"].ndim == 2
    if "clip_g" in items:
        return by_key.get("clip_g") == "clip_g" and by_key.get("clip_l") == "clip_l"
    # of other files it takes the first size of the first tensor for the width
    only = list(items.values())
    return len(only) == 1 and isinstance(only[0], Tensor) and only[0].ndim == 1
