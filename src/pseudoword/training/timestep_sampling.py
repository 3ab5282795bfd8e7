"""Which timesteps are trained: a range of them, and how often each part of it is drawn."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Timesteps:
    """Timesteps `low` up to, but without, `high`.

    Attributes:
        spread: `uniform`; `stratified`, which spreads a step's samples evenly over the range
            (Kingma et al. 2021, arXiv 2107.00630), so that losses rattle less; `logit-normal`,
            which prefers the middle (Esser et al. 2024, arXiv 2403.03206); or `importance`,
            stratified by `density`.
        density: how often each of so many equal parts of the range is drawn, beside each other;
            empty: all alike.
    """

    low: int
    high: int
    spread: str = "uniform"
    density: tuple[float, ...] = ()

    def draw(self, n: int, source: Generator) -> Tensor:
        """`[n]` int64, at random."""
        chance = torch.rand(n, generator=source)
        if self.spread in ("stratified", "importance"):
            chance = (chance[0] + torch.arange(n) / n) % 1
        return self._at(chance)

    def even(self, n: int) -> Tensor:
        """`[n]` int64, ascending: the middles of n equally likely parts of the range."""
        return self._at((torch.arange(n) + 0.5) / n)

    def weight(self, t: Tensor) -> Tensor:
        """`[n]` how much samples at `t` count, so that those drawn by `density` stand for all."""
        if not self.density:
            return torch.ones(len(t))
        each = self._each()
        return (each.mean() / each)[t - self.low].float()

    def part(self, t: Tensor, parts: int) -> Tensor:
        """`[n]` int64: in which of so many equal parts of the range `t` lies."""
        return (t - self.low) * parts // (self.high - self.low)

    def _at(self, chance: Tensor) -> Tensor:
        if self.density:
            each = self._each()
            found = self.low + torch.searchsorted(
                (each / each.sum()).cumsum(0), chance.double(), right=True
            )
            return found.clamp(max=self.high - 1)
        if self.spread == "logit-normal":
            chance = torch.special.ndtri(chance.double()).sigmoid()
        found = self.low + (chance.double() * (self.high - self.low)).long()
        return found.clamp(self.low, self.high - 1)

    def _each(self) -> Tensor:
        """The density of every timestep of the range, `[high - low]`."""
        part = self.part(torch.arange(self.low, self.high), len(self.density))
        return torch.tensor(self.density, dtype=torch.float64)[part]
