"""A frozen text encoder with its tokenizer."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pseudoword.errors import BaseModelError, PromptError
from pseudoword.models.lookup_site import check_site, injected, lookup_site
from pseudoword.models.output_rows import Replacement, WordRows, before, count, replacement
from pseudoword.models.prompt_reader import PromptReader
from pseudoword.models.prompts import ChunkedPrompts, Positions, Prompts, Tokenized

ROUNDING = 1e-6
"""A smaller mean of hidden states, relative to their size, is none."""


@dataclass(frozen=True)
class Encoded:
    """The output of a transformer for `B` prompts of `n` chunks."""

    output: Any
    """of the transformers model, `[B·n, …]`"""
    tokens: Tokenized
    """what it read, on its device"""
    chunks: int = 1
    """`n`"""
    restore_mean: bool = True
    used: Positions | None = None
    """the positions that are the text, if others are a template's"""
    replacement: Replacement | None = None
    """the rows that replace states"""
    watch: Callable[[Tensor], None] | None = None
    """is given the states at the words' positions, `[R, D]`, before any are replaced"""

    def text(self, states: Tensor) -> Tensor:
        """Hidden states `[B·n, L, D]` of the output, as the denoiser reads them: `[B, n·L, D]`.

        Output rows replace some of them, they are weighted, and the chunks of a prompt are joined.
        Of a text in a template, it is only the positions that are used.

        Raises:
            PromptError: with these weights they are not finite.
            ConceptError: output rows have another width.
        """
        if self.watch is not None:
            self.watch(states[self.tokens.slots >= 0])
        if self.replacement is not None:
            states = self.replacement.put_into(states, self.tokens.slots)
        if self.tokens.weights is not None:
            states = weighted(states, self.tokens.weights, restore_mean=self.restore_mean)
        return self._joined(states)

    @property
    def mask(self) -> Tensor:
        """Which positions of `text` are no padding: `[B, n·L]` int64, 1 or 0."""
        return self._joined(self.tokens.mask)

    def vector(self, pooled: Tensor) -> Tensor:
        """The pooled vector of each prompt's first chunk: `[B·n, P]` -> `[B, P]`."""
        return pooled[:: self.chunks]

    def _joined(self, values: Tensor) -> Tensor:
        if self.used is not None:
            values = values[:, self.used]
        return values if self.chunks == 1 else values.unflatten(0, (-1, self.chunks)).flatten(1, 2)


class TextEncoder:
    """A frozen transformer and how it reads prompts, with rows put in after the table lookup."""

    def __init__(self, reader: PromptReader, model: Any, *, masked: bool = False) -> None:
        """An encoder that reads prompts with `reader`.

        Args:
            reader: its tokenizer.
            model: of transformers.
            masked: whether it is told which tokens are padding.
        """
        self.reader = reader
        self.model = model
        self.masked = masked
        self.site = lookup_site(model)
        self.watch: Callable[[Tensor], None] | None = None

    def reading_with(self, reader: PromptReader) -> "TextEncoder":
        """The same model with another reader, for texts that have another template."""
        return TextEncoder(reader, self.model, masked=self.masked)

    @property
    def table(self) -> Tensor:
        """The vocabulary's embeddings `[V, width]`."""
        return self.site.table

    @property
    def width(self) -> int:
        """How many numbers one row has."""
        return self.table.shape[1]

    @cached_property
    def median_norm(self) -> float:
        """The median norm of the vocabulary's rows."""
        return float(self.table.detach().float().norm(dim=-1).median())

    def check(self) -> None:
        """Check that new rows are read as the vocabulary's own are.

        Raises:
            BaseModelError: they are not.
        """
        check_site(self.model, self.site)

    def __call__(self, prompts: Prompts, rows: Mapping[str, WordRows], **options: Any) -> Encoded:
        """Run the transformer on `B` prompts.

        Args:
            prompts: `B` texts, or prompts of `n` chunks each, which run as `B·n` texts.
            rows: placeholder -> `[n, width]`, where n may be 0; or `[layers, n, width]` for layered
                concepts: then all prompts run once per layer, `layers·B` in all, first those of the
                first layer. Of `OutputRows`, the model reads zeros.
            options: for the transformers model.
        """
        counts = {placeholder: count(own) for placeholder, own in rows.items()}
        tokens = self.reader.tokenize(prompts, counts)
        largest = int(tokens.ids.max())
        if largest >= len(self.table):
            raise BaseModelError(
                f"the tokenizer has a token with the id {largest}, and the text encoder has only "
                f"{len(self.table)} rows: they are of different models"
            )
        tokens = tokens.to(self.table.device)
        read = [own for own in rows.values() if len(own)]
        stacked, replaced = before(read, self.width), replacement(read)
        if stacked.ndim == 3:
            tokens = tokens.per_layer(*stacked.shape[:2])
            stacked = stacked.flatten(0, 1)
        if self.masked:
            options["attention_mask"] = self._attention_mask(tokens)
        if not read:
            output = self.model(tokens.ids, **options)
        else:
            with injected(self.site, stacked, tokens.slots):
                output = self.model(tokens.ids, **options)
        if isinstance(prompts, ChunkedPrompts):
            return Encoded(
                *(output, tokens, prompts.chunks, prompts.restore_mean),
                replacement=replaced,
                watch=self.watch,
            )
        return Encoded(
            output, tokens, used=self.reader.used, replacement=replaced, watch=self.watch
        )

    def _attention_mask(self, tokens: Tokenized) -> Tensor:
        """What the model is told of padding: `[B, L]`.

        Without numbers transformers could not see whether there is any; then it is `[B, 1, L, L]`,
        as transformers itself would make it.
        """
        if tokens.mask.device.type != "meta":
            return tokens.mask
        count, length = tokens.mask.shape
        return torch.zeros(count, 1, length, length, dtype=self.table.dtype, device="meta")


@contextmanager
def watched(encoders: Mapping[str, TextEncoder]) -> Iterator[dict[str, Tensor]]:
    """While open, notes the states of the latest prompts at their words' positions.

    Yields:
        The key of an encoder whose states the denoiser reads -> `[R, D]`.
    """
    found: dict[str, Tensor] = {}
    for key, encoder in encoders.items():
        encoder.watch = lambda states, key=key: found.update({key: states})
    try:
        yield found
    finally:
        for encoder in encoders.values():
            encoder.watch = None


def weighted(states: Tensor, weights: Tensor, *, restore_mean: bool = True) -> Tensor:
    """Multiply hidden states `[N, L, D]` by `weights` `[N, L]`, as AUTOMATIC1111 does.

    Its "Original" restores the mean of each of the N: z' = w·z · mean(z) / mean(w·z), here only
    where there is one beyond rounding. Its "No norm" does not.

    Raises:
        PromptError: the result is not finite.
    """
    exact = states.float()
    found = exact * weights.unsqueeze(-1)
    if restore_mean:
        mean, size = exact.mean((1, 2), keepdim=True), exact.square().mean((1, 2), keepdim=True)
        ratio = mean / found.mean((1, 2), keepdim=True)
        found = found * torch.where(mean.abs() > ROUNDING * size.sqrt(), ratio, 1.0)
    if not torch.isfinite(found.to(states.dtype)).all():
        raise PromptError(
            "the weights in the prompt lead to numbers that are not finite. Use some nearer to 1."
        )
    return found.to(states.dtype)
