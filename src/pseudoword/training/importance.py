"""Which timesteps move a word: they are drawn more often, and each counts for less.

The mean gradient stays what it was, but rattles least if timesteps are drawn in proportion to the
size of their gradients (importance sampling; by losses: Nichol and Dhariwal 2021, arXiv 2102.09672,
section 3.3). Where there is little noise in a picture the prediction hardly depends on words, and
samples there teach next to nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from pseudoword.models.family import Family
from pseudoword.training import batches, loss
from pseudoword.training.batches import TrainingData
from pseudoword.training.determinism import repeatable
from pseudoword.training.step import LOSS_SCALE

PARTS = 10
"""Into so many parts the timesteps are cut."""

EACH = 4
"""Samples for each part."""

LEAST = 0.1
"""No part is drawn less often than this, beside the one that is drawn most: what does not move the
word now may do so later."""


def density(family: Family, data: TrainingData, rows: Mapping[str, Tensor]) -> tuple[float, ...]:
    """How often to draw each part of the timesteps, beside the most drawn: 0 to 1.

    Empty, all alike, if there are no gradients to compare; the first step will say what is wrong.

    Args:
        family: the frozen model.
        data: what is to be learned from.
        rows: of the word, `[n, width]` per text encoder.
    """
    span = batches.timesteps(family, data)
    scale = LOSS_SCALE.get(family.dtype, 1.0)
    squares, seen = torch.zeros(PARTS), torch.zeros(PARTS)
    for some in batches.fixed(family, data, PARTS * EACH):
        # Each sample has a word of its own, so that one backward pass tells their gradients apart.
        words = [_leaves(rows, family.device) for _ in some.prompts]
        prompts = [
            p.replace(loss.pack_placeholder(0), loss.pack_placeholder(k))
            for k, p in enumerate(some.prompts)
        ]
        with repeatable(family.device, data.hyper.deterministic):
            (loss.losses(family, words, replace(some, prompts=prompts)).sum() * scale).backward()
        part = span.part(some.t.cpu(), PARTS)
        squares.index_add_(0, part, torch.stack([_square(word) for word in words]).cpu())
        seen.index_add_(0, part, torch.ones(len(part)))
    sizes = (squares / seen).sqrt()
    smooth = avg_pool1d(sizes[None], 3, 1, 1, count_include_pad=False)[0]
    most = float(smooth.max())
    if not most or not math.isfinite(most):
        return ()
    return tuple(max(float(f"{size / most:.3g}"), LEAST) for size in smooth.tolist())


def _leaves(rows: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies of fixed rows whose gradient can be asked for."""
    return {key: r.to(device, copy=True).requires_grad_() for key, r in rows.items()}


def _square(word: Mapping[str, Tensor]) -> Tensor:
    """Of the length of its gradient."""
    each = [rows.grad for rows in word.values() if rows.grad is not None]
    return torch.stack([gradient.square().sum() for gradient in each]).sum()
