"""What AUTOMATIC1111 does with a file in `embeddings/`, or with a LoRA that has words in it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import names
from pseudoword.formats.advice.shared import (
    PICTURES,
    STABLE_DIFFUSION,
    convert_hint,
    encoders_of,
    is_dict,
    rename_hint,
    unsupported_model,
    unusable,
)
from pseudoword.formats.embedding_file import EmbeddingFile
from pseudoword.formats.grouping import BUNDLE_PREFIX, embedding_tensors

PICTURE_ENDINGS = (".png", ".webp", ".avif")


def advise(file: EmbeddingFile, word: Concept) -> str:
    """What happens to `word` in the file."""
    hint = convert_hint(word, "a1111", "sdxl")
    ending = file.path.suffix.lower()
    kind = STABLE_DIFFUSION.get(frozenset(word.vectors))
    obstacle = unusable(file, word) or unsupported_model(file, word)
    if obstacle:
        return obstacle
    if "newer torch" in file.raw.quirks:
        return f"takes it for malicious, since a newer torch wrote it{hint}"
    if file.layout == "bundle":
        return _in_lora(file, word, hint)
    called = file.path.stem
    if file.container in PICTURES:
        if ending not in PICTURE_ENDINGS:
            return f"goes by the ending: call the file {PICTURE_ENDINGS[0]}"
        if called.lower().endswith(".preview"):
            return "passes over files called .preview: call it something else"
        called = str(file.raw.items.get("name", called))
    else:
        advice = rename_hint(file, ending)
        if advice:
            return advice
    if file.second is not None:
        return f"does not put two files together{hint}"
    if not _is_loaded(file):
        return f"cannot use a file laid out like this{hint}"
    written = names.for_automatic1111(called)
    if written is None:
        return "can have no such name in a prompt: give the file another"
    return f"{kind}: copy into embeddings/, then write {written}; skipped on other models"


def _in_lora(file: EmbeddingFile, word: Concept, hint: str) -> str:
    """It finds a bundled word by what lies between the first two dots."""
    raw, written = file.raw, names.for_automatic1111(word.token)
    own = {key for key in raw.tensors if key.startswith(f"{BUNDLE_PREFIX}{word.token}.")}
    if not own or "." in word.token or written is None:
        return f"does not find this word in the LoRA{hint}"
    where = f"<lora:{file.path.stem}:1>"
    return f"copy the LoRA into models/Lora/, then write {where} and {written}"


def _is_loaded(file: EmbeddingFile) -> bool:
    """Whether its loader makes a word of what the file holds."""
    raw = file.raw
    if not is_dict(file):
        return False
    holder = raw.items.get("string_to_param")
    if holder is not None:
        if isinstance(holder, torch.nn.Module):
            holder = vars(holder).get("_parameters")
        several = list(holder.values()) if isinstance(holder, Mapping) else []
        return len(several) == 1 and isinstance(several[0], Tensor) and several[0].ndim == 2
    if {"clip_l", "clip_g"} <= set(raw.items):
        if not all(isinstance(item, Tensor) for item in raw.items.values()):
            return False
        by_key = encoders_of(embedding_tensors(raw))
        return all(by_key[encoder] == encoder for encoder in ("clip_l", "clip_g"))
    return len(raw.items) == 1 and all(type(item) is Tensor for item in raw.items.values())
