"""Where a new word starts: from words, from the vocabulary at random, or from a concept file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pseudoword import formats, suggestions
from pseudoword.config import InitMode
from pseudoword.draws import generator
from pseudoword.errors import SettingsError
from pseudoword.families.base import Family, TextEncoder
from pseudoword.fit import check_fit


def start(
    family: Family, init: str, mode: InitMode, vectors: int, token: str, seed: int
) -> Mapping[str, Tensor]:
    """The rows to begin with, `[vectors, width]` float32 per text encoder.

    `rows` gives each row one token of `init` in turn, as kohya's sd-scripts do; `mean` gives every
    row their mean; `random` draws rows with the vocabulary's mean and spread; `file` goes on from
    a concept, whose number of vectors then counts. `auto` is `file` if `init` is one, else `rows`
    if there are vectors enough, else `mean`.

    Raises:
        SettingsError: `init` is empty, or has more tokens than there are vectors to hold them.
        ConceptError: the concept file cannot be read or does not fit.
    """
    if mode == "file" or (mode == "auto" and formats.is_concept(Path(init))):
        concept = formats.read(Path(init))
        check_fit(concept, family)
        return concept.vectors
    if mode == "random":
        return {
            key: _random(encoder, vectors, f"{seed}/{token}/{key}")
            for key, encoder in family.encoders.items()
        }
    return {
        key: _from_words(encoder, init, mode, vectors) for key, encoder in family.encoders.items()
    }


def count(family: Family, init: str, pictures: int) -> int:
    """How many vectors suit a word: what suits the pictures, and one for each token of `init`."""
    tokens = max(len(encoder.token_ids(init)) for encoder in family.encoders.values())
    return max(min(tokens, suggestions.MOST_VECTORS), suggestions.vectors(pictures))


def _from_words(encoder: TextEncoder, init: str, mode: InitMode, vectors: int) -> Tensor:
    ids = encoder.token_ids(init)
    if not ids:
        raise SettingsError(f"--init {init!r} has no tokens. Give a word such as 'cat' or 'toy'.")
    words = encoder.table.detach()[ids].float().cpu()
    if mode == "mean" or (mode == "auto" and len(ids) > vectors):
        return words.mean(0, keepdim=True).repeat(vectors, 1)
    if len(ids) > vectors and mode == "rows":
        raise SettingsError(
            f"--init {init!r} has {len(ids)} tokens but --vectors is {vectors}. "
            f"Use --vectors {len(ids)}, --init-mode mean, or a shorter word."
        )
    return words[torch.arange(vectors) % len(ids)]


def _random(encoder: TextEncoder, vectors: int, key: str) -> Tensor:
    table = encoder.table.detach().float().cpu()
    noise = torch.randn(vectors, table.shape[1], generator=generator("start", key))
    return table.mean(0) + table.std(0) * noise
