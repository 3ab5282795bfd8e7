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
        density = torch.tensor(self.density)
        return (density.mean() / density)[self.part(t, len(density))]

    def part(self, t: Tensor, parts: int) -> Tensor:
        """`[n]` int64: in which of so many equal parts of the range `t` lies."""
        return (t - self.low) * parts // (self.high - self.low)

    def _at(self, chance: Tensor) -> Tensor:
        if self.density:
            chance = self._by_density(chance.double())
        if self.spread == "logit-normal":
            chance = torch.special.ndtri(chance.double()).sigmoid()
        found = self.low + (chance.double() * (self.high - self.low)).long()
        return found.clamp(self.low, self.high - 1)

    def _by_density(self, chance: Tensor) -> Tensor:
        """Where in the range, 0 to 1, this part of all draws has been passed."""
        density = torch.tensor(self.density, dtype=torch.float64)
        ends = (density / density.sum()).cumsum(0)
        part = torch.searchsorted(ends, chance, right=True).clamp(max=len(density) - 1)
        share = density[part] / density.sum()
        return (part + 1 - (ends[part] - chance) / share) / len(density)
