"""Rows that go in after a text encoder, in the place of its states: OneTrainer's output embeddings.

The encoder itself reads zeros at the word's positions, or what a file holds beside the rows, so
nothing in it depends on them. No gradient passes through it, and it keeps no activations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding

from pseudoword.errors import ConceptError


@dataclass(frozen=True)
class OutputRows:
    """A word's rows for the states of a text encoder."""

    rows: Tensor
    """[n, width]"""
    read: Tensor | None
    """[n, width] what the encoder reads instead; None for zeros"""

    def __len__(self) -> int:
        return len(self.rows)


WordRows = Tensor | OutputRows
"""A word's rows for a text encoder: `[n, width]` or `[layers, n, width]` before it, or after it."""


def count(rows: WordRows) -> int:
    """How many tokens the word takes."""
    return len(rows) if isinstance(rows, OutputRows) else rows.shape[-2]


def before(words: Sequence[WordRows], width: int) -> Tensor:
    """What the encoder reads of all words, `[R, width]` or `[layers, R, width]`."""
    layers = [len(one) for one in words if isinstance(one, Tensor) and one.ndim == 3][:1]

    def own(word: WordRows) -> Tensor:
        if isinstance(word, Tensor):
            return word
        read = word.rows.new_zeros(len(word), width) if word.read is None else word.read.detach()
        return read.expand(*layers, len(word), width)

    if not words:
        return torch.empty(0, width, dtype=torch.float32)
    return torch.cat([own(word) for word in words], dim=-2)


@dataclass(frozen=True)
class Replacement:
    """What replaces states: the rows of all words, and which of these go in after the encoder."""

    rows: Tensor
    """[R, D]"""
    which: Tensor
    """[R] bool"""

    def put_into(self, states: Tensor, slots: Tensor) -> Tensor:
        """The states `[B, L, D]` with the rows at their `slots` `[B, L]`, as in `Tokenized`.

        Raises:
            ConceptError: the rows have another width.
        """
        if self.rows.shape[1] != states.shape[2]:
            raise ConceptError(
                f"a word has rows of width {self.rows.shape[1]} for the states of a text encoder, "
                f"which have {states.shape[2]}: it was learned for another model"
            )
        which = self.which.to(slots.device)[slots.clamp(min=0) % len(self.which)]
        rows = embedding(slots.clamp(min=0) % len(self.rows), self.rows.to(states))
        return torch.where((which & (slots >= 0)).unsqueeze(-1), rows, states)


def replacement(words: Sequence[WordRows]) -> Replacement | None:
    """What replaces the states at the positions of `words`; None if all go in before the encoder.

    Raises:
        ConceptError: they have different widths.
    """
    widths = {one.rows.shape[1] for one in words if isinstance(one, OutputRows)}
    if not widths:
        return None
    if len(widths) > 1:
        raise ConceptError("words for different models are in one prompt: their widths differ")
    (width,) = widths
    rows = [
        one.rows if isinstance(one, OutputRows) else one.new_zeros(count(one), width)
        for one in words
    ]
    which = [torch.full((count(one),), isinstance(one, OutputRows)) for one in words]
    return Replacement(torch.cat(rows), torch.cat(which))
