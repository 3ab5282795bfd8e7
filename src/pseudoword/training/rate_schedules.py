"""The learning rate of each step: a plain function of the step, so a resume needs no state."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A rate for every step.

    Attributes:
        pairs: (rate, the last step it holds for, counted from 1); the last pair holds to the end.
        shape: `constant`, or how the rate falls to nothing at the end: `linear`, `cosine`.
        warmup: steps over which the rate rises to its full size.
        steps: of the whole run.
    """

    pairs: tuple[tuple[float, float], ...]
    shape: str
    warmup: int
    steps: int

    def __call__(self, step: int) -> float:
        """The rate of `step`, counted from 0."""
        rate = next((r for r, last in self.pairs if step < last), self.pairs[-1][0])
        if step < self.warmup:
            return rate * (step + 1) / self.warmup
        if self.shape == "constant":
            return rate
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return rate * (1 - done if self.shape == "linear" else (1 + math.cos(math.pi * done)) / 2)
