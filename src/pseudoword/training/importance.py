"""Importance sampling: timesteps with large gradients are sampled more often, and weigh less.

The mean gradient stays the same. Its variance is lowest if timesteps are sampled in proportion to
the size of their gradients (by losses: Nichol and Dhariwal 2021, arXiv 2102.09672, section 3.3).
Where a picture has little noise, the prediction hardly depends on the prompt, and samples teach
very little.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from pseudoword.config import Hyperparameters
from pseudoword.methods import Rows
from pseudoword.models.family import Family
from pseudoword.placeholders import renumbered
from pseudoword.training import batches, loss
from pseudoword.training.batch_invariance import exact
from pseudoword.training.batches import TrainingData
from pseudoword.training.initialisation import begin
from pseudoword.training.joint_batches import joined
from pseudoword.training.step import LESS, LOSS_SCALE

PARTS = 10
"""Number of parts that the timesteps are divided into."""

EACH = 2
"""Samples per part."""

LONGEST = 0.5
"""The most samples that measuring may take, relative to those of the whole run."""

LEAST = 0.1
"""Lowest frequency of a part, relative to the most frequent one. A part that does not move the word
now may do so later."""


def is_worth_it(hyper: Hyperparameters) -> bool:
    """Whether the run is long enough for measuring, which takes `PARTS * EACH` samples."""
    return LONGEST * hyper.total_steps * hyper.batch * hyper.accumulate >= PARTS * EACH


def densities(
    family: Family,
    words: Sequence[tuple[TrainingData, Rows]],
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[tuple[float, ...]]:
    """Frequency of each part of the timesteps, relative to the most frequent one: 0 to 1.

    Empty (all the same) if there are no gradients to compare; the first step reports the reason.
    All words have the same number of samples in a step. `tick` is called after each batch with how
    many samples are done, and how many there are.
    """
    own = [batches.fixed(family, data, PARTS * EACH) for data, _ in words]
    own_rows = [rows for _, rows in words]
    scales = [begin(family, rows).scales for rows in own_rows]
    parts = [(k, batch) for k, some in enumerate(own) for batch in some]
    squares = [torch.zeros(len(batch.t), dtype=torch.float32) for _, batch in parts]
    done, total = 0, sum(len(batch.t) for _, batch in parts)
    with exact(family, deterministic=all(data.hyper.deterministic for data, _ in words)):
        for some, batch in joined(parts, own_rows):
            owners = [parts[i][0] for i in some]
            found = _squares(family, own_rows, scales, owners, batch)
            for i, each in zip(some, found.view(len(some), -1), strict=True):
                squares[i] = each
            done += len(batch.t)
            tick(done, total)
    result = []
    for k, (data, _) in enumerate(words):
        mine = [i for i, (word, _) in enumerate(parts) if word == k]
        t = torch.cat([parts[i][1].t.cpu() for i in mine])
        part = batches.timesteps(family, data).part(t, PARTS)
        result.append(_density(part, torch.cat([squares[i] for i in mine])))
    return result


def _squares(
    family: Family,
    words: Sequence[Rows],
    scales: Sequence[Mapping[str, float]],
    owners: Sequence[int],
    batch: loss.Batch,
) -> Tensor:
    """`[B]`: the squared norm of the gradient of each sample.

    It is that of rows divided by their encoder's scale, as the optimiser gets it: the gradient of
    T5's large numbers would count for nothing beside that of CLIP's.

    `owners` are the indices of the words of the equal parts of the batch.
    """
    owner = [k for k in owners for _ in range(len(batch.t) // len(owners))]
    prompts = [
        renumbered(prompt, k, i)
        for i, (prompt, k) in enumerate(zip(batch.prompts, owner, strict=True))
    ]

    def at(scale: float) -> Tensor:
        # Each sample has its own copy of the word: one backward pass gives a gradient for each.
        copies = [_leaves(words[k], family.device) for k in owner]
        (loss.losses(family, copies, replace(batch, prompts=prompts)).sum() * scale).backward()
        squares = [_square(word, scales[k]) for word, k in zip(copies, owner, strict=True)]
        return torch.stack(squares).cpu() / scale**2

    scale = LOSS_SCALE.get(family.dtype, 1.0)
    found = at(scale)
    while scale > 1 and not found.isfinite().all():  # it is too large for some samples
        scale = max(scale / LESS, 1.0)
        found = found.where(found.isfinite(), at(scale))
    return found


def _density(part: Tensor, squares: Tensor) -> tuple[float, ...]:
    """The smoothed size of the gradients `[n]` in each part; `part` `[n]` says in which one."""
    sums = torch.zeros(PARTS, dtype=torch.float32).index_add_(0, part, squares)
    counts = part.bincount(minlength=PARTS)  # a short range has no timestep in some parts
    sizes = (sums / counts.clamp(min=1)).sqrt()
    near, there = avg_pool1d(
        torch.stack([sizes, counts.sign().float()]), 3, 1, 1, count_include_pad=False
    )
    smooth = torch.where(there > 0, near / there, 0)
    most = float(smooth.max())
    if not most or not math.isfinite(most):
        return ()
    return tuple(max(float(f"{size / most:.3g}"), LEAST) for size in smooth.tolist())


def _leaves(rows: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies of the rows that collect gradients."""
    return {key: r.to(device, copy=True).requires_grad_() for key, r in rows.items()}


def _square(word: Mapping[str, Tensor], scales: Mapping[str, float]) -> Tensor:
    """Squared norm of the gradient of all rows, each divided by the scale of its encoder."""
    each = [
        (rows.grad * scales.get(key, 1.0)).square().sum()
        for key, rows in word.items()
        if rows.grad is not None
    ]
    return torch.stack(each).sum()
