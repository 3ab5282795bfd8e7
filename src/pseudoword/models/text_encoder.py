"""A frozen text encoder with its tokenizer."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pseudoword.errors import BaseModelError
from pseudoword.models.injection import PromptReader, injected, tokenize

LEAST_TOKENS = 3
"""The begin token, the end token and one more."""


class TextEncoder(PromptReader):
    """A tokenizer and a frozen transformer, with rows put in after the table lookup."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        super().__init__(tokenizer, prompt_length(tokenizer, model.config))
        self.model = model

    @property
    def table(self) -> Tensor:
        """The vocabulary's embeddings `[V, width]`."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    @property
    def width(self) -> int:
        """How many numbers one row has."""
        return self.table.shape[1]

    @cached_property
    def median_norm(self) -> float:
        """The median norm of the vocabulary's rows."""
        return float(self.table.detach().float().norm(dim=-1).median())

    def token_ids(self, text: str) -> list[int]:
        """The ids of `text`, without begin and end tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    def __call__(self, prompts: Sequence[str], rows: Mapping[str, Tensor], **options: Any) -> Any:
        """Run the transformer on `B` prompts.

        Args:
            prompts: `B` texts.
            rows: placeholder -> `[n, width]`; or `[layers, n, width]` for layered concepts: then
                all prompts run once per layer, `layers·B` in all, first those of the first layer.
            options: for the transformers model.

        Returns:
            The output of the transformers model.
        """
        counts = {placeholder: r.shape[-2] for placeholder, r in rows.items()}
        tokens = tokenize(self.tokenizer, prompts, counts, self.length)
        largest = int(tokens.ids.max())
        if largest >= len(self.table):
            raise BaseModelError(
                f"the tokenizer has a token with the id {largest}, and the text encoder has only "
                f"{len(self.table)} rows: they are of different models"
            )
        device = self.table.device
        ids, slots = tokens.ids.to(device), tokens.slots.to(device)
        stacked = torch.cat(list(rows.values()), dim=-2) if rows else torch.empty(0, self.width)
        if stacked.ndim == 3:
            layers, n, _ = stacked.shape
            first = n * torch.arange(layers, device=device).view(-1, 1, 1)  # each layer's first row
            ids = ids.repeat(layers, 1)
            slots = torch.where(slots >= 0, slots + first, slots).flatten(0, 1)
            stacked = stacked.flatten(0, 1)
        if getattr(self.model.config, "use_attention_mask", False):
            options["attention_mask"] = (ids != self.tokenizer.pad_token_id).long()
        if not rows:
            return self.model(ids, **options)
        with injected(self.model.get_input_embeddings(), stacked, slots):
            return self.model(ids, **options)


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
