"""What AUTOMATIC1111 does with a file in `embeddings/`, or with a LoRA that has words in it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import Content, names
from pseudoword.formats.advice.shared import (
    PICTURES,
    STABLE_DIFFUSION,
    convert,
    encoders_of,
    is_dict,
    no_word,
    other_models,
    rename,
)
from pseudoword.formats.sorting import BUNDLE, rows_of

PICTURE_ENDINGS = (".png", ".webp", ".avif")


def outlook(content: Content, word: Concept) -> str:
    """What happens to `word` in the file."""
    into = convert(word, "a1111", "sdxl")
    ending = content.path.suffix.lower()
    kind = STABLE_DIFFUSION.get(frozenset(word.vectors))
    hopeless = no_word(content, word) or other_models(content, word)
    if hopeless:
        return hopeless
    if "newer torch" in content.loose.odd:
        return f"takes it for malicious, since a newer torch wrote it{into}"
    if content.layout == "bundle":
        return _in_lora(content, word, into)
    called = content.path.stem
    if content.container in PICTURES:
        if ending not in PICTURE_ENDINGS:
            return f"goes by the ending: call the file {PICTURE_ENDINGS[0]}"
        if called.lower().endswith(".preview"):
            return "passes over files called .preview: call it something else"
        called = str(content.loose.items.get("name", called))
    else:
        advice = rename(content, ending)
        if advice:
            return advice
    if content.second is not None:
        return f"does not put two files together{into}"
    if not _is_taken(content):
        return f"cannot use a file laid out like this{into}"
    written = names.for_automatic1111(called)
    if written is None:
        return "can have no such name in a prompt: give the file another"
    return f"{kind}: copy into embeddings/, then write {written}; skipped on other models"


def _in_lora(content: Content, word: Concept, into: str) -> str:
    """It finds a bundled word by what lies between the first two dots."""
    loose, written = content.loose, names.for_automatic1111(word.token)
    own = {key for key in loose.tensors if key.startswith(f"{BUNDLE}{word.token}.")}
    if not own or "." in word.token or written is None:
        return f"does not find this word in the LoRA{into}"
    where = f"<lora:{content.path.stem}:1>"
    return f"copy the LoRA into models/Lora/, then write {where} and {written}"


def _is_taken(content: Content) -> bool:
    """Whether its loader makes a word of what the file holds."""
    loose = content.loose
    if not is_dict(content):
        return False
    holder = loose.items.get("string_to_param")
    if holder is not None:
        if isinstance(holder, torch.nn.Module):
            holder = vars(holder).get("_parameters")
        several = list(holder.values()) if isinstance(holder, Mapping) else []
        return len(several) == 1 and isinstance(several[0], Tensor) and several[0].ndim == 2
    if {"clip_l", "clip_g"} <= set(loose.items):
        if not all(isinstance(item, Tensor) for item in loose.items.values()):
            return False
        by_key = encoders_of(rows_of(loose))
        return all(by_key[encoder] == encoder for encoder in ("clip_l", "clip_g"))
    return len(loose.items) == 1 and all(type(item) is Tensor for item in loose.items.values())
