"""What the advice for several tools shares."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import grouping, keys
from pseudoword.formats.embedding_file import EmbeddingFile
from pseudoword.formats.grouping import embedding_tensors
from pseudoword.formats.writers import WRITERS

TORCH_ENDINGS = (".pt", ".bin")

STABLE_DIFFUSION: Mapping[frozenset[str], str] = {
    frozenset({"clip_l"}): "SD 1",
    frozenset({"clip_h"}): "SD 2",
    frozenset({"clip_l", "clip_g"}): "SDXL",
}
"""Text encoders -> base model; most tools support only these."""


def unsupported_model(file: EmbeddingFile, concept: Concept) -> str | None:
    """What tools for SD 1, SD 2 and SDXL do with a concept for other models; None for theirs.

    If the concept also has rows for SDXL's encoders, some tools read these rows only.
    """
    encoders = frozenset(concept.vectors)
    if encoders in STABLE_DIFFUSION:
        return None
    others = sorted(encoders - {"clip_l", "clip_g"})
    by_key = encoders_of(embedding_tensors(file.raw)) if is_dict(file) else {}
    if all(by_key.get(encoder) == encoder for encoder in ("clip_l", "clip_g")):
        return f"takes it for an SDXL word, and leaves out {', '.join(others)}"
    return "refuses it: only words for SD 1, SD 2 and SDXL"


def unusable(file: EmbeddingFile, concept: Concept) -> str | None:
    """Why most tools cannot use these rows, or cannot open the file at all; None if they can."""
    if keys.is_layered(concept.vectors):
        return "cannot use words with rows per layer"
    if keys.is_output(concept.vectors):
        return "cannot use output embeddings; OneTrainer can"
    if "metadata" in file.raw.quirks:
        return "cannot open it: its metadata is not text; convert it first"
    return None


def convert_hint(concept: Concept, *formats: str) -> str:
    """The advice to convert: to the first of these formats that can hold the concept."""
    possible = [name for name in formats if not WRITERS[name].refuses(concept)]
    return f"; convert with --format {possible[0]}" if possible else ""


def rename_hint(file: EmbeddingFile, suffix: str, *more: str) -> str | None:
    """The advice to rename, for a tool that goes by the file's ending; None if it is right.

    Args:
        file: the file.
        suffix: its ending, as the tool reads it.
        more: further endings that the tool accepts for torch files.
    """
    is_torch = file.container == "torch"
    endings = (*TORCH_ENDINGS, *more) if is_torch else (".safetensors",)
    if suffix in endings:
        return None
    return f"goes by the file's ending: change it to {endings[0]}"


def encoders_of(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Tensor name -> the text encoder that it is for."""
    return {
        key: keys.encoder_of(key, grouping.width(t)) or keys.encoder_of_width(grouping.width(t))
        for key, t in tensors.items()
    }


def is_dict(file: EmbeddingFile) -> bool:
    """Whether the file holds one dict, as almost all loaders expect."""
    return file.raw.form == "dict"


def holds_rows(item: object, rows: Tensor, *dimensions: int) -> bool:
    """Whether `item` is a tensor with the values of `rows` and this number of dimensions."""
    return (
        isinstance(item, Tensor)
        and item.ndim in (dimensions or (1, 2))
        and item.shape[-1] == rows.shape[1]
        and item.numel() == rows.numel()
        and torch.equal(item.detach().float().reshape(rows.shape), rows)
    )
