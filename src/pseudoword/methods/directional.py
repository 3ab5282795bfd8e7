"""Directional Textual Inversion (Kim et al. 2025, arXiv 2512.13672): only directions are learned.

A row is a length that never changes, times a unit vector that moves on the sphere, and is drawn to
the direction it began with: that of the word in --init.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pseudoword.config.method import MethodSettings
from pseudoword.methods import norms
from pseudoword.methods.base import Initialisation, Method, Rows

LARGEST = 1e9
"""With a larger rate a step ends in the same place, and its square would be beyond float32."""


class SphericalDescent(torch.optim.Optimizer):
    """The paper's algorithm 1: a step of `lr` radians on the sphere for each row, without momentum.

    g ← ∇L(v) - κμ; g ← g - ⟨g, v⟩v, as long as one; v ← v - lr·g, as long as one.
    """

    def __init__(
        self, directions: list[nn.Parameter], prior: list[Tensor], kappa: float, lr: float
    ) -> None:
        """Move `directions` v `[n, width]`, drawn to those of the `prior` μ `[n, width]`."""
        super().__init__(directions, {"lr": lr})
        self._prior, self._kappa = prior, kappa

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move each direction that has a gradient."""
        assert closure is None
        (group,) = self.param_groups
        rate = min(group["lr"], LARGEST)
        for v, mu in zip(group["params"], self._prior, strict=True):
            if v.grad is None:
                continue
            g = v.grad - self._kappa * mu
            tangent = g - (g * v).sum(-1, keepdim=True) * v
            moved = normalize(v - rate * normalize(tangent, dim=-1), dim=-1)
            in_prompts = v.grad.any(dim=-1, keepdim=True)  # others would move to the prior alone
            v.copy_(torch.where(in_prompts, moved, v))


class Directional(Method):
    """One or more unit directions per text encoder; the rate is an angle, in radians."""

    name = "directional"
    rate_unit = 0.25

    def __init__(self, start: Initialisation, settings: MethodSettings) -> None:
        first = start.plain_rows
        self._lengths = norms.aims(first, start.usual_norms, settings.norm, start.device)
        self._prior = {
            key: normalize(rows.detach().to(start.device, torch.float32), dim=-1)
            for key, rows in first.items()
        }
        self._directions = {key: nn.Parameter(v.clone()) for key, v in self._prior.items()}
        self._kappa = settings.kappa

    def parameters(self) -> list[nn.Parameter]:
        """One parameter `[n, width]` per text encoder."""
        return list(self._directions.values())

    def rows(self, _step: int) -> Rows:
        return {key: self._lengths[key] * v for key, v in self._directions.items()}

    def word(self) -> dict[str, Tensor]:
        return {key: self._lengths[key] * v.detach() for key, v in self._directions.items()}

    def constrain(self) -> None:
        """Nothing: each step ends on the sphere."""

    def constrained(self, rows: Rows) -> dict[str, Tensor]:
        return {key: self._lengths[key] * normalize(r, dim=-1) for key, r in rows.items()}

    def optimiser(self, lr: float) -> torch.optim.Optimizer:
        return SphericalDescent(self.parameters(), list(self._prior.values()), self._kappa, lr)
