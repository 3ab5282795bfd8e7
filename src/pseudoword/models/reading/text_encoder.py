"""A frozen text encoder with its tokenizer."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from pseudoword.errors import BaseModelError, PromptError
from pseudoword.models.compute.releasable import Releasable
from pseudoword.models.compute.transfers import sent
from pseudoword.models.reading.kept_states import Kept, OneByOne, Part, part_of
from pseudoword.models.reading.lookup_site import LookupSite, check_site, injected, lookup_site
from pseudoword.models.reading.output_rows import (
    OutputRows,
    Replacement,
    WordRows,
    before,
    count,
    replacement,
)
from pseudoword.models.reading.prompt_reader import PromptReader
from pseudoword.models.reading.prompts import ChunkedPrompts, Positions, Prompts, Tokenized

ROUNDING = 1e-6
"""A smaller mean of hidden states, relative to their size, is none."""


@dataclass(frozen=True)
class Encoded:
    """The output of a transformer for `B` prompts of `n` chunks."""

    part: Part
    """gives a part by its name, `[B·n, …]`; of hidden states, that with the number `layer`"""
    tokens: Tokenized
    """what it read, on its device"""
    used: Positions | None
    """the positions that are the text, if others are a template's"""
    replacement: Replacement | None
    """the rows that replace states"""
    watch: Callable[[Tensor], None] | None
    """is given the states at the words' positions, `[R, D]`, before any are replaced; without
    numbers, all states"""
    chunks: int = 1
    """`n`"""
    restore_mean: bool = True

    def text(self, states: Tensor) -> Tensor:
        """Hidden states `[B·n, L, D]` of the output, as the denoiser reads them: `[B, n·L, D]`.

        Output rows replace some of them, they are weighted, and the chunks of a prompt are joined.
        Of a text in a template, it is only the positions that are used.

        Raises:
            PromptError: with these weights they are not finite.
            ConceptError: output rows have another width.
        """
        if self.watch is not None:
            self.watch(states if states.is_meta else states[self.tokens.slots >= 0])
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
            slices = isinstance(self.used, slice)
            used = self.used if slices else sent(torch.tensor(self.used), values.device)
            values = values[:, used]
        return values if self.chunks == 1 else values.unflatten(0, (-1, self.chunks)).flatten(1, 2)


class TextEncoder:
    """A frozen transformer and how it reads prompts, with rows put in after the table lookup."""

    def __init__(
        self, reader: PromptReader, load: Callable[[], Any], *, masked: bool = False
    ) -> None:
        """An encoder that reads prompts with `reader`.

        Args:
            reader: its tokenizer.
            load: gives the model of transformers: now, and again after `release`.
            masked: whether it is told which tokens are padding.
        """
        self.reader = reader
        self.masked = masked
        self.watch: Callable[[Tensor], None] | None = None
        self._releasable = Releasable(load)
        self._kept: Kept | None = None
        self._device = self.table.device
        self._vocabulary, self.width = self.table.shape

    def reading_with(self, reader: PromptReader) -> "TextEncoder":
        """The same model with another reader, for texts that have another template."""
        other = copy.copy(self)
        other.reader = reader
        return other

    @property
    def model(self) -> Any:
        """The transformers model."""
        return self._releasable.model

    @property
    def site(self) -> LookupSite:
        """Where it looks up its tokens."""
        return lookup_site(self.model)

    @property
    def table(self) -> Tensor:
        """The vocabulary's embeddings `[V, width]`."""
        return self.site.table

    def embeddings(self, ids: Sequence[int]) -> Tensor:
        """The vocabulary's embeddings of these tokens, `[n, width]`.

        Raises:
            BaseModelError: it has none of one of them.
        """
        self._check_id(max(ids))
        return self.table.detach()[ids]

    @cached_property
    def median_norm(self) -> float:
        """The median norm of the vocabulary's rows."""
        return float(self.table.detach().float().norm(dim=-1).median())

    def keep(self) -> None:
        """Begin to keep what it gives for prompts whose words all have rows for its output."""
        if self._kept is None:
            self._kept = {}

    def forget(self) -> None:
        """Keep nothing any more."""
        self._kept = None

    @property
    def kept_nbytes(self) -> int:
        """Bytes of what is kept."""
        return sum(one.nbytes for one in (self._kept or {}).values())

    def release(self) -> None:
        """Free the model, if what it gives is kept; it is loaded again for a new prompt."""
        if self._kept is not None and self.is_loaded:
            self._device = self.device
            self._releasable.release()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._releasable.is_loaded

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.table.device if self.is_loaded else self._device

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
        self._check_id(int(tokens.ids.max()))
        read = [own for own in rows.values() if len(own)]
        stacked, replaced = before(read, self.width), replacement(read)
        part: Part
        if _reads_zeros(read):
            part = OneByOne(
                tokens,
                lambda row: self._run(row.to(self.device), stacked, options),
                self.device,
                kept=self._kept,
                unpadded=self.reader.pads_to_longest,
            ).part
            tokens = tokens.to(self.device)
        else:
            tokens = tokens.to(self.device)
            if stacked.ndim == 3:
                tokens = tokens.per_layer(*stacked.shape[:2])
                stacked = stacked.flatten(0, 1)
            part = partial(part_of, self._run(tokens, stacked if read else None, options))
        encoded = Encoded(part, tokens, self.reader.used, replaced, self.watch)
        if isinstance(prompts, ChunkedPrompts):
            return replace(encoded, chunks=prompts.chunks, restore_mean=prompts.restore_mean)
        return encoded

    def _check_id(self, largest: int) -> None:
        if largest >= self._vocabulary:
            raise BaseModelError(
                f"the tokenizer has a token with the id {largest}, and the text encoder has only "
                f"{self._vocabulary} rows: they are of different models"
            )

    def _run(self, tokens: Tokenized, stacked: Tensor | None, options: Mapping[str, Any]) -> Any:
        """The transformer's output; it reads the rows `stacked` where the slots of `tokens` say."""
        masks = {"attention_mask": self._attention_mask(tokens)} if self.masked else {}
        if not self.reader.counts_padding:
            masks["position_ids"] = _counted(tokens.mask)
        if stacked is None:
            return self.model(tokens.ids, **options, **masks)
        with injected(self.site, stacked, tokens.slots):
            return self.model(tokens.ids, **options, **masks)

    def _attention_mask(self, tokens: Tokenized) -> Tensor:
        """What the model is told of padding: `[B, L]`.

        Without numbers transformers could not see whether there is any; then it is `[B, 1, L, L]`,
        as transformers itself would make it.
        """
        if tokens.mask.device.type != "meta":
            return tokens.mask
        count, length = tokens.mask.shape
        eager = self.model.config._attn_implementation == "eager"
        dtype = self.table.dtype if eager else torch.bool
        return torch.ones(count, 1, length, length, dtype=dtype, device="meta")


def _counted(mask: Tensor) -> Tensor:
    """The positions of tokens without padding, as Qwen VL counts them three times: `[3, B, L]`."""
    return (mask.cumsum(1) - 1).clamp(min=0).expand(3, -1, -1)


def _reads_zeros(words: Sequence[WordRows]) -> bool:
    """Whether there are words, and the encoder reads zeros in the places of all of them."""
    return bool(words) and all(isinstance(w, OutputRows) and w.read is None for w in words)


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
