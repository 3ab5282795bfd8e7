"""A frozen text encoder with its tokenizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pseudoword.errors import BaseModelError, PromptError
from pseudoword.models.chunks import ChunkedPrompts, tokenize_chunks
from pseudoword.models.injection import PromptReader, tokenize
from pseudoword.models.lookup_site import check_site, injected, lookup_site

LEAST_TOKENS = 3
"""The begin token, the end token and one more."""

ROUNDING = 1e-6
"""A smaller mean of hidden states, relative to their size, is none."""

Prompts = Sequence[str] | ChunkedPrompts
"""Plain text, of which a text encoder reads what fits, as in training; or prompts to draw."""


@dataclass(frozen=True)
class Encoded:
    """The output of a transformer for `B` prompts of `n` chunks."""

    output: Any
    """of the transformers model, `[B·n, …]`"""
    weights: Tensor | None
    """`[B·n, L]`; None where all tokens count the same"""
    chunks: int = 1
    """`n`"""
    restore_mean: bool = True

    def text(self, states: Tensor) -> Tensor:
        """Weight hidden states `[B·n, L, D]` of the output, and join them to `[B, n·L, D]`.

        Raises:
            PromptError: with these weights they are not finite.
        """
        if self.weights is not None:
            states = weighted(states, self.weights, restore_mean=self.restore_mean)
        return states if self.chunks == 1 else states.unflatten(0, (-1, self.chunks)).flatten(1, 2)

    def vector(self, pooled: Tensor) -> Tensor:
        """The pooled vector of each prompt's first chunk: `[B·n, P]` -> `[B, P]`."""
        return pooled[:: self.chunks]


class TextEncoder(PromptReader):
    """A tokenizer and a frozen transformer, with rows put in after the table lookup."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        super().__init__(tokenizer, prompt_length(tokenizer, model.config))
        self.model = model
        self.site = lookup_site(model)

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

    def token_ids(self, text: str) -> list[int]:
        """The ids of `text`, without begin and end tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    def __call__(self, prompts: Prompts, rows: Mapping[str, Tensor], **options: Any) -> Encoded:
        """Run the transformer on `B` prompts.

        Args:
            prompts: `B` texts, or prompts of `n` chunks each, which run as `B·n` texts.
            rows: placeholder -> `[n, width]`; or `[layers, n, width]` for layered concepts: then
                all prompts run once per layer, `layers·B` in all, first those of the first layer.
            options: for the transformers model.
        """
        counts = {placeholder: r.shape[-2] for placeholder, r in rows.items()}
        if isinstance(prompts, ChunkedPrompts):
            tokens = tokenize_chunks(self.tokenizer, prompts, counts, self.length)
        else:
            tokens = tokenize(self.tokenizer, prompts, counts, self.length)
        largest = int(tokens.ids.max())
        if largest >= len(self.table):
            raise BaseModelError(
                f"the tokenizer has a token with the id {largest}, and the text encoder has only "
                f"{len(self.table)} rows: they are of different models"
            )
        device = self.table.device
        ids, slots = tokens.ids.to(device), tokens.slots.to(device)
        weights = None if tokens.weights is None else tokens.weights.to(device)
        stacked = torch.cat(list(rows.values()), dim=-2) if rows else torch.empty(0, self.width)
        if stacked.ndim == 3:
            layers, n, _ = stacked.shape
            first = n * torch.arange(layers, device=device).view(-1, 1, 1)  # each layer's first row
            ids = ids.repeat(layers, 1)
            slots = torch.where(slots >= 0, slots + first, slots).flatten(0, 1)
            weights = None if weights is None else weights.repeat(layers, 1)
            stacked = stacked.flatten(0, 1)
        if getattr(self.model.config, "use_attention_mask", False):
            options["attention_mask"] = (ids != self.tokenizer.pad_token_id).long()
        if not rows:
            output = self.model(ids, **options)
        else:
            with injected(self.site, stacked, slots):
                output = self.model(ids, **options)
        if isinstance(prompts, ChunkedPrompts):
            return Encoded(output, weights, prompts.chunks, prompts.restore_mean)
        return Encoded(output, weights)


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


def prompt_length(tokenizer: Any, config: Any) -> int:
    """How many tokens a text encoder reads, with the begin and the end token.

    Raises:
        BaseModelError: a config holds no number, or too small a one.
    """
    limits = {
        "model_max_length": tokenizer.model_max_length,
        "max_position_embeddings": config.max_position_embeddings,
    }
    for name, value in limits.items():
        if not isinstance(value, int | float) or not value >= LEAST_TOKENS:
            raise BaseModelError(
                f"a text encoder's {name} is {value!r:.60}, but should be a number from "
                f"{LEAST_TOKENS} on; 77 is usual"
            )
    return int(min(limits.values()))
