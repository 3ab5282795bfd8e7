"""Learning-rate finder (range test; Smith 2015, arXiv 1506.01186) for the pictures of a concept.

A copy of the initial word is trained for a few steps while the rate grows. The evaluation loss
falls, and rises again where the rate is too high. Random numbers have no state, so the test does
not change the run itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pseudoword import methods
from pseudoword.methods import Initialisation
from pseudoword.models.family import Family
from pseudoword.training import early_stopping
from pseudoword.training.batches import TrainingData, fixed
from pseudoword.training.loop import train
from pseudoword.training.state import TrainState

STEPS = 48
EVERY = 3
LOWEST, HIGHEST = 1e-4, 1e-1
NEARLY = 0.9
"""A rate is high enough where the loss has fallen by this fraction of its whole fall. With higher
rates the loss falls little, and the rows only grow."""

BELOW = 3.0
"""The chosen rate is lower by this factor. By the sum of a geometric series, the test has moved the
rows up to there as far as about twenty steps at that rate."""

LEAST, MOST = 0.3, 0.5
"""Bounds of the chosen rate, as fractions of the size of a number in a usual row. So short a test
can be wrong: because of a dip in the loss, or of a loss that keeps falling while the rows grow."""


@dataclass(frozen=True)
class FoundRate:
    """The result of the test."""

    rate: float
    """the learning rate to train with"""
    curve: tuple[tuple[float, float], ...]
    """(rate, evaluation loss) along the way"""


def find_learning_rate(
    family: Family,
    data: TrainingData,
    start: Initialisation,
    tick: Callable[[int, int], None],
) -> FoundRate:
    """Find a learning rate for one concept; `tick` is called with steps done, of all."""
    copy = methods.begin(start, data.hyper)
    lowest_rate = LOWEST * (copy.rate_unit / start.usual_number)
    growth = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
    hyper = data.hyper.model_copy(update={"ema": 0.0})
    own = replace(data, hyper=hyper, trial="rate")
    trial = TrainState.begin(own, copy, lambda step: lowest_rate * growth**step, STEPS)
    samples = fixed(family, data, early_stopping.SAMPLES)
    (first,) = early_stopping.evaluation_losses(family, [(trial.word(), samples)])
    curve = []
    for step in train(family, [trial]):
        tick(step.step, STEPS)
        if step.step % EVERY:
            continue
        (now,) = early_stopping.evaluation_losses(family, [(trial.word(), samples)])
        curve.append((step.metrics[0].lr, now))
        lowest = min(loss for _, loss in curve)
        if now > first + (first - lowest):  # above the start by more than it was below
            break
    return FoundRate(choose_rate(first, curve, copy.rate_unit), tuple(curve))


def choose_rate(start: float, curve: Sequence[tuple[float, float]], usual: float) -> float:
    """The learning rate for a run.

    Args:
        start: the loss of the initial word.
        curve: (rate, loss) for growing rates.
        usual: the size of a number in the rows of the vocabulary.
    """
    lowest = min([start, *(loss for _, loss in curve)])
    enough = start - NEARLY * (start - lowest)
    high = next((rate for rate, loss in curve if loss <= enough), LOWEST)
    return float(f"{min(max(high / BELOW, LEAST * usual), MOST * usual):.2g}")
