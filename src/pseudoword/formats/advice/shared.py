"""What several tools have in common."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import grouping, keys
from pseudoword.formats.embedding_file import EmbeddingFile
from pseudoword.formats.grouping import embedding_tensors
from pseudoword.formats.writers import WRITERS

PICTURES = ("chunk", "pixels")
"""Containers that are pictures."""

TORCH_ENDINGS = (".pt", ".bin")

STABLE_DIFFUSION: Mapping[frozenset[str], str] = {
    frozenset({"clip_l"}): "SD 1",
    frozenset({"clip_h"}): "SD 2",
    frozenset({"clip_l", "clip_g"}): "SDXL",
}
"""Encoders -> the models that read them, as far as most tools go."""


def unsupported_model(file: EmbeddingFile, word: Concept) -> str | None:
    """What tools that know SD 1, SD 2 and SDXL do with a word for anything else; None if for them.

    Some find an SDXL word in one for more text encoders.
    """
    encoders = frozenset(word.vectors)
    if encoders in STABLE_DIFFUSION:
        return None
    more = sorted(encoders - {"clip_l", "clip_g"})
    by_key = encoders_of(embedding_tensors(file.raw)) if is_dict(file) else {}
    if all(by_key.get(encoder) == encoder for encoder in ("clip_l", "clip_g")):
        return f"takes it for an SDXL word, and leaves out {', '.join(more)}"
    return "refuses it: only words for SD 1, SD 2 and SDXL"


def unusable(file: EmbeddingFile, word: Concept) -> str | None:
    """Why nothing but OneTrainer can use such rows, or open such a file at all."""
    if keys.is_layered(word.vectors):
        return "cannot use words with rows per layer"
    if any(key.endswith(keys.OUTPUT_SUFFIX) for key in word.vectors):
        return "cannot use output embeddings; OneTrainer can"
    if "metadata" in file.raw.quirks:
        return "cannot open it: its metadata is not text; convert it first"
    return None


def convert_hint(word: Concept, *formats: str) -> str:
    """How to come to a file that works: the first of these formats that can hold the word."""
    able = [name for name in formats if not WRITERS[name].refuses(word)]
    return f"; convert with --format {able[0]}" if able else ""


def rename_hint(file: EmbeddingFile, suffix: str, *more: str) -> str | None:
    """What to do for a tool that goes by the ending, if the file's is not what it is.

    Args:
        content: the file.
        suffix: its ending as the tool reads it.
        more: endings of torch files beside `TORCH_ENDINGS`.
    """
    torch_file = file.container == "torch"
    endings = (*TORCH_ENDINGS, *more) if torch_file else (".safetensors",)
    if suffix in endings:
        return None
    return f"goes by the ending: call the file {endings[0]}"


def encoders_of(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Name of each tensor -> the text encoder that it is for."""
    return {
        key: keys.encoder_of(key, grouping.width(t)) or keys.encoder_of_width(grouping.width(t))
        for key, t in tensors.items()
    }


def is_dict(file: EmbeddingFile) -> bool:
    """Whether the file holds one dict, as nearly every loader expects."""
    return file.raw.form == "dict"


def holds_rows(found: object, rows: Tensor, *dimensions: int) -> bool:
    """Whether what a loader finds is `rows`, in any kind of numbers, in so many dimensions."""
    return (
        isinstance(found, Tensor)
        and found.ndim in (dimensions or (1, 2))
        and found.shape[-1] == rows.shape[1]
        and found.numel() == rows.numel()
        and torch.equal(found.detach().float().reshape(rows.shape), rows)
    )
