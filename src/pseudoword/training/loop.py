"""The loop: a generator that yields a `Step` after each optimiser step.

Progress bars, previews, checkpoints and stopping belong to whoever iterates. A pack of K concepts
is the only case: the base model is frozen, so each sample's gradient reaches only its own rows,
and a concept's samples, loss, clipping, optimiser, schedule and stopping are its own.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pseudoword.models.family import Family
from pseudoword.training.batch_invariance import batch_invariant, pointwise_convolutions
from pseudoword.training.determinism import repeatable
from pseudoword.training.state import TrainState
from pseudoword.training.step import StepMetrics as StepMetrics
from pseudoword.training.step import take_step


@dataclass(frozen=True)
class Step:
    """What happened in one optimiser step."""

    step: int
    """counted from 1"""
    metrics: tuple[StepMetrics, ...]
    """one entry for each concept that took this step"""
    seconds: float


def train(family: Family, states: Sequence[TrainState]) -> Iterator[Step]:
    """Train `states`, in place, until none is unfinished.

    After a resume, concepts may be at different steps; those with the fewest steps go first. A
    concept whose loss or gradient is not finite, or whose first gradient is zero, stops: `failure`
    says why, and `good` holds its last good rows.
    """
    convolutions = pointwise_convolutions(family.modules().values())
    while unfinished := [state for state in states if state.unfinished]:
        began = time.perf_counter()
        step = min(state.step for state in unfinished)
        active = [state for state in unfinished if state.step == step]
        exact = repeatable(family.device, all(state.hyper.deterministic for state in active))
        with exact, batch_invariant(convolutions):
            metrics = take_step(family, active, step)
        if metrics:
            yield Step(step + 1, tuple(metrics), time.perf_counter() - began)
