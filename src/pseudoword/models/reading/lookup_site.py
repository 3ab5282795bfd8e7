"""Where a text encoder looks up its tokens: the place at which new rows go in.

It is not always `get_input_embeddings()`, and what that module returns is not always a row of its
table. So a site is checked before it is used: rows of the vocabulary itself, put in there, must not
change what the encoder returns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from pseudoword.errors import BaseModelError

TOLERANCE = 1e-3
"""Relative to the hidden states. At the right site the difference is zero."""


@dataclass(frozen=True)
class LookupSite:
    """A module of a text encoder that turns token ids into embeddings."""

    module: nn.Module
    """ids `[B, L]` -> embeddings `[B, L, width]`"""
    scale: Tensor | float = 1.0
    """what the module multiplies the rows of its table with"""

    @property
    def table(self) -> Tensor:
        """The vocabulary's embeddings `[V, width]`."""
        weight = self.module.weight
        assert isinstance(weight, Tensor)
        return weight


def lookup_site(model: Any) -> LookupSite:
    """The site of a transformers model.

    T5 and UMT5 look up in their encoder, in a module of its own; `get_input_embeddings()` is
    another one with the same table, which is never called. Gemma's module multiplies each row
    with the square root of the width; other modules have no scale.
    """
    own = getattr(getattr(model, "encoder", None), "embed_tokens", None)
    module: nn.Module = model.get_input_embeddings() if own is None else own
    return LookupSite(module, getattr(module, "embed_scale", 1.0))


@contextmanager
def injected(site: LookupSite, rows: Tensor, slots: Tensor) -> Iterator[None]:
    """While open, the text encoder reads `rows` where `slots` is not -1.

    Args:
        site: of the text encoder.
        rows: [R, width] in any dtype, as long as the vocabulary's; they get gradients.
        slots: [B, L] int64, as in `Tokenized`.

    Raises:
        BaseModelError: the text encoder has run, or has not, without a lookup at the site.
    """
    is_placeholder = slots >= 0
    calls = 0

    def replace(_module: nn.Module, _args: object, looked_up: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        # rounded as the module rounds it
        scale = site.scale.to(looked_up) if isinstance(site.scale, Tensor) else site.scale
        # The gradient of an embedding adds the positions of a row in order. That of indexing adds
        # them as threads reach them, so that its rounding changes from run to run.
        replacements = embedding(slots.clamp(min=0), rows.to(looked_up) * scale)
        return torch.where(is_placeholder.unsqueeze(-1), replacements, looked_up)

    handle = site.module.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
    if not calls:
        raise BaseModelError(
            f"the text encoder does not look up its tokens in its {type(site.module).__name__}, so "
            "a new word would have no effect: this kind of text encoder is not supported"
        )


@torch.no_grad()
def check_site(model: Any, site: LookupSite) -> None:
    """Check that the vocabulary's own rows, put in at `site`, do not change the output of `model`.

    The model reads three tokens, as they are and with the row of the middle one put in.

    Raises:
        BaseModelError: they change it, or the site is never called.
    """
    table = site.table
    before, token, after = (len(table) * part // 4 for part in (1, 2, 3))
    ids = torch.tensor([[before, token, after], [before, before, after]], device=table.device)
    slots = torch.tensor([[-1, -1, -1], [-1, 0, -1]], device=table.device)
    with injected(site, table[token : token + 1], slots):
        usual, replaced = model(ids, output_hidden_states=True).hidden_states[-1]
    if not usual.isfinite().all():  # numbers too large for the precision; the caller says so
        return
    difference = (replaced - usual).float().norm() / usual.float().norm()
    if not difference <= TOLERANCE:
        raise BaseModelError(
            f"{type(model).__name__} does not read a row of its own vocabulary as it is (its "
            f"output changes by {float(difference):.1%}), so a new word would not be read as it "
            "is learned: this kind of text encoder is not supported"
        )
