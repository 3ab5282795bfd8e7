"""New words for a model, and the rows that each of its text encoders gets."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pseudoword.formats.keys import base_encoder, of_layer

Vectors = Mapping[str, Tensor]
"""One concept's rows: key of a text encoder, or of one layer of the denoiser (`clip_l.IN01`)
-> `[n, width]`."""

Words = Mapping[str, Vectors]
"""Placeholder as written in prompts -> its rows."""


def rows_of(words: Words, key: str, layers: Sequence[str] = ()) -> Mapping[str, Tensor]:
    """The rows of each word for the text encoder `key`, `[n, width]`.

    With `layers`, the rows for each layer, `[layers, n, width]`; a word that is not layered has the
    same rows for all. A word without rows for this encoder has `[0, 0]`: it is read without it.
    """
    if not layers:
        return {
            placeholder: vectors[key] if key in vectors else torch.empty(0, 0)
            for placeholder, vectors in words.items()
        }
    return {
        placeholder: torch.stack([of_layer(vectors, key, layer) for layer in layers])
        for placeholder, vectors in words.items()
    }


def row_counts(words: Words, key: str) -> dict[str, int]:
    """How many tokens each word takes in the text encoder `key`."""
    return {
        placeholder: max(
            (len(rows) for name, rows in vectors.items() if base_encoder(name) == key), default=0
        )
        for placeholder, vectors in words.items()
    }
