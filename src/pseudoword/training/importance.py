"""Importance sampling: timesteps with large gradients are sampled more often, and weigh less.

The mean gradient stays the same. Its variance is lowest if timesteps are sampled in proportion to
the size of their gradients (by losses: Nichol and Dhariwal 2021, arXiv 2102.09672, section 3.3).
Where a picture has little noise, the prediction hardly depends on the prompt, and samples teach
very little.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from pseudoword.config import Hyperparameters
from pseudoword.models.family import Family
from pseudoword.training import batches, loss
from pseudoword.training.batches import TrainingData
from pseudoword.training.determinism import repeatable
from pseudoword.training.step import LOSS_SCALE

PARTS = 10
"""Number of parts that the timesteps are divided into."""

EACH = 4
"""Samples per part."""

LONGEST = 0.5
"""The most samples that measuring may take, relative to those of the whole run."""

LEAST = 0.1
"""Lowest frequency of a part, relative to the most frequent one. A part that does not move the word
now may do so later."""


def is_worth_it(hyper: Hyperparameters) -> bool:
    """Whether the run is long enough for measuring, which takes `PARTS * EACH` samples."""
    return LONGEST * hyper.total_steps * hyper.batch * hyper.accumulate >= PARTS * EACH


def density(
    family: Family,
    data: TrainingData,
    rows: Mapping[str, Tensor],
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[float, ...]:
    """Frequency of each part of the timesteps, relative to the most frequent one: 0 to 1.

    Empty (all the same) if there are no gradients to compare; the first step reports the reason.

    Args:
        family: the frozen model.
        data: the data of the concept.
        rows: of the word, `[n, width]` per text encoder.
        tick: called after each batch with the number of samples so far, and of all.
    """
    span = batches.timesteps(family, data)
    scale = LOSS_SCALE.get(family.dtype, 1.0)
    squares, counts = torch.zeros(PARTS), torch.zeros(PARTS)
    samples = batches.fixed(family, data, PARTS * EACH)
    total = sum(len(batch.t) for batch in samples)
    for batch in samples:
        # Each sample has its own copy of the word: one backward pass gives a gradient for each.
        words = [_leaves(rows, family.device) for _ in batch.prompts]
        prompts = [
            p.replace(loss.pack_placeholder(0), loss.pack_placeholder(k))
            for k, p in enumerate(batch.prompts)
        ]
        with repeatable(family.device, data.hyper.deterministic):
            (loss.losses(family, words, replace(batch, prompts=prompts)).sum() * scale).backward()
        part = span.part(batch.t.cpu(), PARTS)
        squares.index_add_(0, part, torch.stack([_square(word) for word in words]).cpu())
        counts.index_add_(0, part, torch.ones(len(part)))
        tick(int(counts.sum()), total)
    sizes = (squares / counts).sqrt()
    smooth = avg_pool1d(sizes[None], 3, 1, 1, count_include_pad=False)[0]
    most = float(smooth.max())
    if not most or not math.isfinite(most):
        return ()
    return tuple(max(float(f"{size / most:.3g}"), LEAST) for size in smooth.tolist())


def _leaves(rows: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies of the rows that collect gradients."""
    return {key: r.to(device, copy=True).requires_grad_() for key, r in rows.items()}


def _square(word: Mapping[str, Tensor]) -> Tensor:
    """Squared norm of the gradient of all rows."""
    each = [rows.grad for rows in word.values() if rows.grad is not None]
    return torch.stack([gradient.square().sum() for gradient in each]).sum()
