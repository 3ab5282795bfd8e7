"""How good a word is on samples that never change: a loss that falls smoothly, where the training
loss only rattles, since each step of training meets other noise at other timesteps."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pseudoword.models.family import Family
from pseudoword.training import loss

SAMPLES = 16
"""How many; without a backward pass they cost about a third of as many in training."""

EARLIEST = 8
"""Evaluations after the first before a run is judged: how fast it begins is much a matter of
chance."""

PACE = 0.45
"""A run has settled when lately it gains at less than this part of its mean pace..."""

LITTLE = 0.05
"""... and less than this part of the loss itself: a poor starting word gains so much at first that
what is still gained later looks small beside it."""

WORSE = 0.1
"""Held-out pictures are worse off when their loss has risen by this part of what it had fallen."""


@dataclass(frozen=True)
class EvaluationLoss:
    """What one evaluation found."""

    step: int
    loss: float
    held_out: float | None
    """the same on held-out pictures, if there are any"""

    @property
    def deciding_loss(self) -> float:
        """What decides which word is best: held-out pictures, if there are any."""
        return self.loss if self.held_out is None else self.held_out


@dataclass
class EvaluationHistory:
    """What all evaluations of a run have found; a part of its state."""

    found: list[EvaluationLoss] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    """the rows of the best word, per text encoder"""
    best_step: int = 0

    def add(self, one: EvaluationLoss, word: dict[str, Tensor]) -> bool:
        """Take note of it; whether it is the best so far. The starting word is not in the race."""
        better = one.step > 0 and all(
            one.deciding_loss < b.deciding_loss for b in self.found if b.step
        )
        self.found.append(one)
        if better:
            self.best, self.best_step = word, one.step
        return better

    def plateau(self, patience: int) -> str | None:
        """Why there is little to gain from further steps, if so.

        The best loss of the last `patience` evaluations is compared with the best before them; a
        longer run is judged by its last third, since one that learns slowly gains little at a time.
        What they would have gained at the mean pace of the run tells how much is little.
        """
        if len(self.found) <= max(patience, EARLIEST):
            return None
        last = max(patience, len(self.found) // 3)
        deciding_loss = [one.deciding_loss for one in self.found]
        before, lately = min(deciding_loss[:-last]), min(deciding_loss[-last:])
        gained = deciding_loss[0] - min(before, lately)
        at_mean_pace = gained * last / (len(deciding_loss) - 1)
        if before - lately > min(PACE * at_mean_pace, LITTLE * before):
            return None
        return (
            f"the evaluation loss has settled: {before:.4f} by step "
            f"{self.found[-last - 1].step}, {lately:.4f} since"
        )

    def overfitting(self) -> str | None:
        """A warning, if held-out pictures get worse while the others get better."""
        last = self.found[-1]
        if last.held_out is None:
            return None
        held_out = [one.deciding_loss for one in self.found]
        lowest = min(held_out)
        if last.held_out - lowest <= WORSE * (held_out[0] - lowest):
            return None
        at = self.found[held_out.index(lowest)]
        if last.loss >= at.loss:
            return None
        return (
            f"overfitting: since step {at.step} the loss on held-out pictures has risen from "
            f"{lowest:.4f} to {last.held_out:.4f}, while that on the others has fallen. "
            "Fewer steps or vectors, or more pictures, would do better."
        )


@torch.no_grad()
def evaluation_loss(
    family: Family, word: dict[str, Tensor], samples: Sequence[loss.Batch]
) -> float:
    """Mean loss of `word` over `samples`."""
    found = [loss.losses(family, [word], batch) * len(batch.t) for batch in samples]
    return float(torch.cat(found).sum()) / sum(len(batch.t) for batch in samples)
