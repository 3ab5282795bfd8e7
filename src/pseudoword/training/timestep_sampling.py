"""Timestep sampling: a range of timesteps, and how often each part of it is sampled."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

MODE_SCALE = 1.29
"""The scale of `mode`: the largest that the paper tries, and the one other trainers use."""


@dataclass(frozen=True)
class Timesteps:
    """Timesteps from `low` to `high` - 1.

    Attributes:
        spread: `uniform`; `stratified`, which spreads a step's samples evenly over the range
            (Kingma et al. 2021, arXiv 2107.00630), so that losses are less noisy; `logit-normal`,
            which prefers the middle (Esser et al. 2024, arXiv 2403.03206); `mode`, which prefers
            it less and leaves no timestep out (same, equation 20); or `importance`, stratified by
            `density`.
        density: relative frequency of each of the equal parts of the range; empty: all the same.
    """

    low: int
    high: int
    spread: str = "uniform"
    density: tuple[float, ...] = ()

    def draw(self, n: int, source: Generator) -> Tensor:
        """`[n]` random timesteps, int64."""
        uniform = torch.rand(n, generator=source, dtype=torch.float32)
        if self.spread in ("stratified", "importance"):
            uniform = (uniform[0] + torch.arange(n, dtype=torch.float32) / n) % 1
        return self._at(uniform)

    def even(self, n: int) -> Tensor:
        """`[n]` int64, ascending: the middles of n equally likely parts of the range."""
        return self._at((torch.arange(n, dtype=torch.float32) + 0.5) / n)

    def weight(self, t: Tensor) -> Tensor:
        """`[n]` weights that cancel the effect of `density` on the mean."""
        if not self.density:
            return torch.ones(len(t), dtype=torch.float32)
        density = self._each()
        return (density.mean() / density)[t - self.low].float()

    def part(self, t: Tensor, parts: int) -> Tensor:
        """`[n]` int64: the index of the part of the range, out of `parts`, that `t` lies in."""
        return (t - self.low) * parts // (self.high - self.low)

    def _at(self, uniform: Tensor) -> Tensor:
        if self.density:
            density = self._each()
            t = self.low + torch.searchsorted(
                (density / density.sum()).cumsum(0), uniform.double(), right=True
            )
            return t.clamp(max=self.high - 1)
        if self.spread == "logit-normal":
            uniform = torch.special.ndtri(uniform.double()).sigmoid()
        if self.spread == "mode":
            half = (uniform.double() * math.pi / 2).cos().square()
            uniform = 1 - uniform.double() - MODE_SCALE * (half - 1 + uniform.double())
        t = self.low + (uniform.double() * (self.high - self.low)).long()
        return t.clamp(self.low, self.high - 1)

    def _each(self) -> Tensor:
        """The density of every timestep of the range, `[high - low]`."""
        part = self.part(torch.arange(self.low, self.high), len(self.density))
        return torch.tensor(self.density, dtype=torch.float64)[part]
