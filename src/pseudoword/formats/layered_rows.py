"""The rows of layered concepts: for all layers of a denoiser, and for each.

Tools without layers read the rows for all. Beside these, a file holds those for each layer as text
in its metadata, where no other tool looks. XTI's words have only the latter.
"""

import base64
import binascii
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pseudoword.errors import ConceptError
from pseudoword.formats import keys, safetensors_file


def for_all(vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rows of each text encoder `[n, width]`, whatever the layer; empty if there are none."""
    return {key: rows for key, rows in vectors.items() if not keys.is_layered([key])}


def for_each(vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rows for each layer, `[n, width]`; empty if the concept is not layered."""
    return {key: rows for key, rows in vectors.items() if keys.is_layered([key])}


def mean(vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each text encoder the mean of its rows for each layer, scaled to their mean length."""
    layers: dict[str, list[Tensor]] = {}
    for key, rows in for_each(vectors).items():
        layers.setdefault(keys.base_encoder(key), []).append(rows)
    means = {}
    for encoder, of_layers in layers.items():
        length = torch.stack([rows.norm(dim=-1, keepdim=True) for rows in of_layers]).mean(0)
        means[encoder] = length * normalize(torch.stack(of_layers).mean(0), dim=-1)
    return means


def as_text(vectors: Mapping[str, Tensor]) -> str:
    """The rows for each layer as text, which `from_text` reads: a safetensors file in base64."""
    return base64.b64encode(safetensors_file.write(for_each(vectors), {})).decode("ascii")


def from_text(text: str, encoders: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The rows for each layer in a file `where`, which has rows of these `encoders` for all.

    Raises:
        ConceptError: they are damaged, or for other text encoders.
    """
    try:
        found = safetensors_file.read(base64.b64decode(text, validate=True), where).tensors
    except (binascii.Error, ValueError) as error:
        raise ConceptError(f"{where} is damaged: its rows for each layer cannot be read") from error
    of = {keys.base_encoder(key) for key in found}
    if for_each(found).keys() != found.keys() or of != set(encoders):
        raise ConceptError(f"{where} is damaged: its rows for each layer are of another word")
    return found
