"""What a frozen text encoder gives for prompts, each read alone, and kept if that is wanted.

Where all new rows go in after the encoder, its output depends on the prompt only. As it reads one
prompt at a time, the numbers are the same in every batch, and whether they are kept or not.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from pseudoword.models.reading.prompts import Tokenized

Kept = dict[tuple[object, ...], Tensor]
"""What a prompt is for the encoder, and a part of the output -> that part, in main memory."""

Part = Callable[..., Tensor]
"""Gives a part of a transformer's output, as `part_of` does."""


def part_of(output: Any, name: str, layer: int | None = None) -> Tensor:
    """A part of a transformer's output; of hidden states, that with the number `layer`."""
    part: Any = getattr(output, name)
    found: Tensor = part if layer is None else part[layer]
    return found


class OneByOne:
    """The output of a transformer for `B` prompts, each read alone.

    The transformer runs only for prompts that are not among those that are kept.
    """

    def __init__(
        self,
        tokens: Tokenized,
        run: Callable[[Tokenized], Any],
        device: torch.device,
        *,
        kept: Kept | None,
        unpadded: bool,
    ) -> None:
        """The output for `tokens` `[B, L]`.

        Args:
            tokens: in main memory.
            run: gives the transformer's output for one prompt, `[1, …]`.
            device: where the parts are wanted.
            kept: from earlier prompts; what is new is added. None: nothing is kept.
            unpadded: read prompts without their padding; the states for it are zeros.
        """
        self._kept = {} if kept is None else kept
        self._device = device
        self._length = tokens.ids.shape[1]
        self._rows = rows = list(_each(tokens, unpadded))

        @cache  # without `self`: all that the transformer gave would wait for Python's collector
        def output(b: int) -> Any:
            with torch.no_grad():
                return run(rows[b][0])

        self._output = output

    def part(self, name: str, layer: int | None = None) -> Tensor:
        """As `part_of`: states `[B, L, D]`, or `[B, D]`."""
        return torch.cat([self._one(b, name, layer) for b in range(len(self._rows))])

    def _one(self, b: int, name: str, layer: int | None) -> Tensor:
        row, first = self._rows[b]
        read = (row.ids, row.slots >= 0, row.mask)
        key = (*(part.numpy().tobytes() for part in read), name, layer)
        if key not in self._kept:
            found = part_of(self._output(b), name, layer)
            self._kept[key] = found if found.is_meta else found.cpu()
        found = self._kept[key].to(self._device)
        if found.ndim < 3:
            return found
        return pad(found, (0, 0, first, self._length - first - found.shape[1]))


def _each(tokens: Tokenized, unpadded: bool) -> Iterator[tuple[Tokenized, int]]:
    """Each prompt as `[1, L]`, and where it begins in its row of all."""
    for ids, slots, mask in zip(tokens.ids, tokens.slots, tokens.mask, strict=True):
        first, count = 0, len(ids)
        if unpadded:
            first, count = int(mask.argmax()), int(mask.sum())
        at = slice(first, first + count)
        yield Tokenized(ids[None, at], slots[None, at], mask[None, at]), first
