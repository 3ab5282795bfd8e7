"""What AUTOMATIC1111 does with a file in `embeddings/`, or with a LoRA that holds embeddings."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import names
from pseudoword.formats.advice.shared import (
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

SDXL_WIDTH = 768 + 1280
"""What it takes for the width of an SDXL word. Pile-T5 has the same."""

PICTURE_ENDINGS = (".png", ".webp", ".avif")


def advise(file: EmbeddingFile, concept: Concept) -> str:
    """What happens to `concept` in the file."""
    hint = convert_hint(concept, "a1111", "sdxl")
    ending = file.path.suffix.lower()
    kind = STABLE_DIFFUSION.get(frozenset(concept.vectors))
    obstacle = unusable(file, concept) or unsupported_model(file, concept)
    if obstacle and list(concept.widths.values()) == [SDXL_WIDTH] and is_dict(file):
        return "mistakes it for an SDXL word by its width, and cannot draw with it"
    if obstacle:
        return obstacle
    if "newer torch" in file.raw.quirks:
        return f"calls it malicious, because a newer torch wrote it{hint}"
    if file.layout == "bundle":
        return _in_lora(file, concept, hint)
    name = file.path.stem
    if file.is_picture:
        if ending not in PICTURE_ENDINGS:
            return f"goes by the file's ending: change it to {PICTURE_ENDINGS[0]}"
        if name.lower().endswith(".preview"):
            return "ignores files with .preview in their name: rename it"
        name = str(file.raw.items.get("name", name))
    else:
        wrong_ending = rename_hint(file, ending)
        if wrong_ending:
            return wrong_ending
    if file.second is not None:
        return f"does not join two files{hint}"
    if not _is_loaded(file):
        return f"cannot read a file with this layout{hint}"
    written = names.for_automatic1111(name)
    if written is None:
        return "cannot have such a name in a prompt: rename the file"
    return f"{kind}: copy into embeddings/, then write {written}; skipped on other models"


def _in_lora(file: EmbeddingFile, concept: Concept, hint: str) -> str:
    """AUTOMATIC1111 takes what is between the first two dots for the token."""
    raw, written = file.raw, names.for_automatic1111(concept.token)
    bundled = {key for key in raw.tensors if key.startswith(f"{BUNDLE_PREFIX}{concept.token}.")}
    if not bundled or "." in concept.token or written is None:
        return f"does not find this word in the LoRA{hint}"
    where = f"<lora:{file.path.stem}:1>"
    return f"copy the LoRA into models/Lora/, then write {where} and {written}"


def _is_loaded(file: EmbeddingFile) -> bool:
    """Whether its loader can load what the file holds."""
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
