"""Which timesteps are trained: a range of them, and how often each part of it is drawn."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Timesteps:
    """Timesteps `low` up to, but without, `high`.

    Attributes:
        spread: `uniform`; `stratified`, which spreads a step's samples evenly over the range
            (Kingma et al. 2021, arXiv 2107.00630), so that losses rattle less; or `logit-normal`,
            which prefers the middle (Esser et al. 2024, arXiv 2403.03206).
    """

    low: int
    high: int
    spread: str = "uniform"

    def draw(self, n: int, source: Generator) -> Tensor:
        """`[n]` int64, at random."""
        chance = torch.rand(n, generator=source)
        if self.spread == "stratified":
            chance = (chance[0] + torch.arange(n) / n) % 1
        return self._at(chance)

    def even(self, n: int) -> Tensor:
        """`[n]` int64, ascending: the middles of n equally likely parts of the range."""
        return self._at((torch.arange(n) + 0.5) / n)

    def _at(self, chance: Tensor) -> Tensor:
        if self.spread == "logit-normal":
            chance = torch.special.ndtri(chance.double()).sigmoid()
        found = self.low + (chance.double() * (self.high - self.low)).long()
        return found.clamp(self.low, self.high - 1)
