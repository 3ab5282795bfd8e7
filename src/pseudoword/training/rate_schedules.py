"""The learning rate of each step: a plain function of the step, so a resume needs no state."""

import math
from dataclasses import dataclass
from typing import Self

from pseudoword.config.optimisation import OptimiserSettings
from pseudoword.config.rates import Rates


@dataclass(frozen=True)
class Schedule:
    """A rate for every step.

    Attributes:
        rates: none of them a percentage.
        shape: `constant`, or how the rate falls to zero by the end: `linear`, `cosine`.
        warmup: steps over which the rate rises to its full size.
        steps: of the whole run.
    """

    rates: Rates
    shape: str
    warmup: int
    steps: int

    @classmethod
    def of(cls, settings: OptimiserSettings, rates: Rates) -> Self:
        """What `settings` ask for, with `rates` that are no percentages any more."""
        return cls(rates, settings.schedule, settings.warmup, settings.total_steps)

    def __call__(self, step: int) -> float:
        """The rate of `step`, counted from 0."""
        rate = self.rates.at(step)
        if step < self.warmup:
            return rate * (step + 1) / self.warmup
        if self.shape == "constant":
            return rate
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return rate * (1 - done if self.shape == "linear" else (1 + math.cos(math.pi * done)) / 2)
