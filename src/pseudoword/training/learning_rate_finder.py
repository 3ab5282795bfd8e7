"""A rate range test (Smith 2015, arXiv 1506.01186): which learning rate suits these pictures.

A copy of the starting word is trained for a few steps while the rate grows; the evaluation loss
falls, and rises again where the rate is too high. Draws have no state, so the run itself does not
notice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pseudoword.methods import Method
from pseudoword.models.family import Family
from pseudoword.training import early_stopping, norms
from pseudoword.training.batches import fixed
from pseudoword.training.early_stopping import Record
from pseudoword.training.loop import train
from pseudoword.training.state import Member

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
class Probe:
    """What the test found."""

    rate: float
    """what to train with"""
    curve: tuple[tuple[float, float], ...]
    """(rate, evaluation loss) along the way"""


def probe(family: Family, member: Member, copy: Method, tick: Callable[[int, int], None]) -> Probe:
    """Find a rate for `member`, which has not begun.

    Args:
        family: the frozen model.
        member: what is to be trained; it stays as it is.
        copy: its starting word once more, to be spoilt.
        tick: called with (done, total) after each step.
    """
    hyper = member.hyper.model_copy(update={"steps": STEPS, "ema": 0.0})
    token = f"{member.token}/rate"
    trial = replace(member, token=token, method=copy, hyper=hyper, record=Record())
    growth = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
    trial.schedule = lambda step: LOWEST * growth**step
    samples = fixed(family, member, early_stopping.SAMPLES)
    start = early_stopping.measure(family, trial.word(), samples)
    curve = []
    for step in train(family, [trial]):
        tick(step.step, STEPS)
        if step.step % EVERY:
            continue
        found = early_stopping.measure(family, trial.word(), samples)
        curve.append((step.seen[0].lr, found))
        lowest = min(loss for _, loss in curve)
        if found > start + (start - lowest):  # it has lost twice what it had gained
            break
    return Probe(choose(start, curve, norms.usual_number(family)), tuple(curve))


def choose(start: float, curve: Sequence[tuple[float, float]], usual: float) -> float:
    """The rate for a run, from the loss at the `start` and along the `curve` of growing rates;
    `usual` is the size of a number in the vocabulary's rows."""
    lowest = min([start, *(loss for _, loss in curve)])
    enough = start - NEARLY * (start - lowest)
    high = next((rate for rate, loss in curve if loss <= enough), LOWEST)
    return float(f"{min(max(high / BELOW, LEAST * usual), MOST * usual):.2g}")
