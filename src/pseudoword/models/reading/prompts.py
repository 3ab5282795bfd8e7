"""Prompts as text encoders are given them, and as token ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from unicodedata import normalize

import torch
from torch import Tensor

from pseudoword.models.compute.transfers import sent
from pseudoword.prompt_weights import Prompt


@dataclass(frozen=True)
class ChunkedPrompts:
    """B prompts to draw, each in the same number of chunks."""

    prompts: Sequence[Prompt]
    chunks: int
    """of each prompt; one that needs fewer is filled up with empty ones"""
    restore_mean: bool = True
    """whether weights leave the mean of a chunk's hidden states as it was"""

    @property
    def written(self) -> list[str]:
        """The prompts as they were written."""
        return [prompt.text for prompt in self.prompts]


Positions = slice | Sequence[int]
"""Some of a sequence."""

Prompts = Sequence[str] | ChunkedPrompts
"""Plain text, of which a text encoder reads what fits, as in training; or prompts to draw."""


@dataclass(frozen=True)
class Tokenized:
    """A batch of prompts as token ids."""

    ids: Tensor
    """[B, L] int64"""
    slots: Tensor
    """[B, L] int64: the row that replaces the embedding at this position, or -1"""
    mask: Tensor
    """[B, L] int64: 1 for a token of the prompt, 0 for padding"""
    weights: Tensor | None = None
    """[B, L] float: how much each position counts; None where all count the same"""

    def to(self, device: torch.device) -> "Tokenized":
        """The same on `device`."""
        weights = None if self.weights is None else sent(self.weights, device)
        ids, slots, mask = (sent(one, device) for one in (self.ids, self.slots, self.mask))
        return Tokenized(ids, slots, mask, weights)

    def per_layer(self, layers: int, rows: int) -> "Tokenized":
        """`[layers·B, L]`: the same once for each layer, which has `rows` rows of its own."""
        first = rows * torch.arange(layers, device=self.slots.device).view(-1, 1, 1)
        slots = torch.where(self.slots >= 0, self.slots + first, self.slots).flatten(0, 1)
        weights = None if self.weights is None else self.weights.repeat(layers, 1)
        return Tokenized(self.ids.repeat(layers, 1), slots, self.mask.repeat(layers, 1), weights)


@dataclass(frozen=True)
class PromptReading:
    """How much of a prompt a text encoder reads."""

    tokens: int
    """tokens of the whole prompt, without begin and end tokens"""
    max_tokens: int
    """the most tokens that are read"""
    cut_off: str
    """the end of the prompt, which is not read; usually empty"""


def rows_by_name(counts: Mapping[str, int]) -> dict[str, range]:
    """Placeholder in Unicode's composed form -> its rows.

    Rows are numbered through all placeholders, in the order of `counts`.
    """
    first_rows = accumulate(counts.values(), initial=0)
    return {
        normalize("NFC", name): range(first, first + n)
        for (name, n), first in zip(counts.items(), first_rows, strict=False)
    }
