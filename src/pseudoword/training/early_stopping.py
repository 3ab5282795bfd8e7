"""Early stopping: the loss on samples that never change, and what follows from it.

The training loss is noisy, since each step has other noise at other timesteps. On fixed samples the
loss falls smoothly.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pseudoword.methods import Rows
from pseudoword.models.family import Family
from pseudoword.training import loss
from pseudoword.training.batch_invariance import exact
from pseudoword.training.joint_batches import joined

SAMPLES = 8
"""Number of samples. Without a backward pass, each costs about a third of a training sample."""

EARLIEST = 8
"""Evaluations after the first before a run may stop: the speed of the first ones is mostly
chance."""

PACE = 0.45
"""A plateau: the last evaluations gained less than this fraction of the mean gain of the run..."""

LITTLE = 0.05
"""... and less than this fraction of the loss. With a poor initial word the first gains are so
large that later ones would look small in comparison."""

WORSE = 0.1
"""Overfitting: the loss on held-out pictures rose again by this fraction of what it had fallen."""

FAR = 10
"""A run also waits until a number can have moved so many times its usual size. Words that are
learned in few steps at a high rate and in many at a low one are as good from there on."""

ROUNDED = 1e-6
"""A sum of rates is rounded: a hundred of 10 % are to be 10."""


def earliest_stop(evaluate_every: int, patience: int, far: int = 0) -> int:
    """The first step at which a run may stop; `far` is that from which a number can be `FAR`."""
    return evaluate_every * max(patience, EARLIEST, math.ceil(far / evaluate_every) if far else 0)


def far_at(schedule: Callable[[int], float], usual: float, steps: int) -> int:
    """The step from which on a number of `usual` size can have moved `FAR`; 0: not in `steps`.

    In a step, counted from 0, it moves by the learning rate that `schedule` has for it.
    """
    way = 0.0
    for step in range(steps):
        way += schedule(step)
        if way >= (FAR - ROUNDED) * usual:
            return step + 1
    return 0


@dataclass(frozen=True)
class EvaluationLoss:
    """The result of one evaluation."""

    step: int
    loss: float
    held_out: float | None
    """the loss on held-out pictures, if there are any"""

    @property
    def deciding_loss(self) -> float:
        """The loss that decides which word is best: that of held-out pictures, if there are any.

        What is no number, such as after an overflow in 16 bits, is worse than any.
        """
        found = self.loss if self.held_out is None else self.held_out
        return math.inf if math.isnan(found) else found


@dataclass
class EvaluationHistory:
    """The results of all evaluations of a run; a part of its state."""

    found: list[EvaluationLoss] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    """the rows of the best word, per text encoder"""
    best_step: int = 0

    def add(self, one: EvaluationLoss, word: dict[str, Tensor]) -> bool:
        """Add a result. True if it is the best so far; the initial word does not count."""
        better = one.step > 0 and all(
            one.deciding_loss < b.deciding_loss for b in self.found if b.step
        )
        self.found.append(one)
        if better:
            self.best, self.best_step = word, one.step
        return better

    def plateau(self, patience: int) -> str | None:
        """The reason to stop, if the loss hardly falls any more.

        The best loss of the last `patience` evaluations is compared with the best before them. In a
        longer run it is that of the last third, since slow learning gains little per evaluation.
        The gain is small if it is small compared with the mean gain of the run.
        """
        if len(self.found) <= max(patience, EARLIEST):
            return None
        last = max(patience, len(self.found) // 3)
        losses = [one.deciding_loss for one in self.found]
        before, lately = min(losses[:-last]), min(losses[-last:])
        if math.isinf(max(before, lately)):
            return None
        gained = losses[0] - min(before, lately)
        at_mean_pace = gained * last / (len(losses) - 1)
        if before - lately > min(PACE * at_mean_pace, LITTLE * before):
            return None
        return (
            f"the evaluation loss has settled: {before:.4f} by step "
            f"{self.found[-last - 1].step}, {lately:.4f} since"
        )

    def overfitting(self) -> str | None:
        """A warning, if held-out pictures get worse while training pictures get better."""
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


def digest(samples: Sequence[loss.Batch]) -> str:
    """A hash of samples. Losses can be compared if they were measured on the same ones."""
    found = hashlib.sha256()
    for batch in samples:
        found.update("\0".join(batch.prompts).encode())
        for tensor in batch.tensors.values():
            found.update(tensor.cpu().numpy().tobytes())
    return found.hexdigest()


@torch.no_grad()
def evaluation_losses(
    family: Family, words: Sequence[tuple[Rows, Sequence[loss.Batch]]]
) -> list[float]:
    """Mean loss of each word over its own samples; all batches have the same number of them."""
    parts = [(k, batch) for k, (_, samples) in enumerate(words) for batch in samples]
    rows = [own for own, _ in words]
    found = torch.zeros(len(parts), dtype=torch.float32)
    with exact(family, deterministic=False):  # no gradients
        for some, batch in joined(parts, rows):
            here = {parts[i][0] for i in some}
            read = [own if k in here else {} for k, own in enumerate(rows)]
            found[some] = loss.of_samples(family, read, batch).view(len(some), -1).mean(1).cpu()
    own = found.split([len(samples) for _, samples in words])
    return [float(losses.mean()) for losses in own]
