"""New words for a model, and the rows that each of its text encoders gets."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pseudoword.formats.keys import OUTPUT_SUFFIX, base_encoder, of_layer
from pseudoword.models.reading.output_rows import OutputRows, WordRows

Vectors = Mapping[str, Tensor]
"""One concept's rows: key of a text encoder, of its output (`clip_l_out`), or of one layer of the
denoiser (`clip_l.IN01`) -> `[n, width]`."""

Words = Mapping[str, Vectors]
"""Placeholder as written in prompts -> its rows."""


def rows_of(words: Words, key: str, layers: Sequence[str] = ()) -> Mapping[str, WordRows]:
    """The rows of each word for the text encoder `key`, `[n, width]`.

    With `layers`, the rows for each layer, `[layers, n, width]`; a word that is not layered has the
    same rows for all. Rows for the encoder's output are `OutputRows`. A word without rows for this
    encoder has `[0, 0]`: it is read without it.
    """
    return {placeholder: _rows(vectors, key, layers) for placeholder, vectors in words.items()}


def _rows(vectors: Vectors, key: str, layers: Sequence[str]) -> WordRows:
    if key + OUTPUT_SUFFIX in vectors:
        return OutputRows(vectors[key + OUTPUT_SUFFIX], vectors.get(key))
    if layers:
        return torch.stack([of_layer(vectors, key, layer) for layer in layers])
    return vectors[key] if key in vectors else torch.empty(0, 0, dtype=torch.float32)


def row_counts(words: Words, key: str) -> dict[str, int]:
    """How many tokens each word takes in the text encoder `key`."""
    return {
        placeholder: max(
            (len(rows) for name, rows in vectors.items() if base_encoder(name) == key), default=0
        )
        for placeholder, vectors in words.items()
    }
