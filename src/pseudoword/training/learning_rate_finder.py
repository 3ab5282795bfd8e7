"""A rate range test (Smith 2015, arXiv 1506.01186): which learning rate suits these pictures.

A copy of the starting word is trained for a few steps while the rate grows; the evaluation loss
falls, and rises again where the rate is too high. Draws have no state, so the run itself does not
notice.
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
"""Where this part of all that could be gained has been gained, the rate is high enough. Beyond, the
loss falls little, and the rows only grow."""

BELOW = 3.0
"""The rate is chosen so many times lower: by the sum of a geometric series, the test has moved
until there as far as some twenty steps at that rate would."""

LEAST, MOST = 0.3, 0.5
"""A step of the rate is at least and at most this part of a number in a usual row. So short a test
can be fooled: by a dip on the way, or by a loss that goes on falling while the rows grow."""


@dataclass(frozen=True)
class FoundRate:
    """What the test found."""

    rate: float
    """what to train with"""
    curve: tuple[tuple[float, float], ...]
    """(rate, evaluation loss) along the way"""


def find_learning_rate(
    family: Family,
    data: TrainingData,
    start: Initialisation,
    tick: Callable[[int, int], None],
) -> FoundRate:
    """Find a learning rate for one concept.

    Args:
        family: the frozen model.
        data: what the concept is to be learned from.
        start: where it begins.
        tick: called with (done, total) after each step.
    """
    copy = methods.begin(start, data.hyper)
    lowest_rate = LOWEST * (copy.rate_unit / start.usual_number)
    growth = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
    hyper = data.hyper.model_copy(update={"ema": 0.0})
    own = replace(data, token=f"{data.token}/rate", hyper=hyper)
    trial = TrainState.begin(own, copy, lambda step: lowest_rate * growth**step, STEPS)
    samples = fixed(family, data, early_stopping.SAMPLES)
    first = early_stopping.evaluation_loss(family, trial.word(), samples)
    curve = []
    for step in train(family, [trial]):
        tick(step.step, STEPS)
        if step.step % EVERY:
            continue
        found = early_stopping.evaluation_loss(family, trial.word(), samples)
        curve.append((step.metrics[0].lr, found))
        lowest = min(loss for _, loss in curve)
        if found > first + (first - lowest):  # it has lost twice what it had gained
            break
    return FoundRate(choose_rate(first, curve, copy.rate_unit), tuple(curve))


def choose_rate(start: float, curve: Sequence[tuple[float, float]], usual: float) -> float:
    """The rate for a run, from the loss at the `start` and along the `curve` of growing rates;
    `usual` is the size of a number in the vocabulary's rows."""
    lowest = min([start, *(loss for _, loss in curve)])
    enough = start - NEARLY * (start - lowest)
    high = next((rate for rate, loss in curve if loss <= enough), LOWEST)
    return float(f"{min(max(high / BELOW, LEAST * usual), MOST * usual):.2g}")
