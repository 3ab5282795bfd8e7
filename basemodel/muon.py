"""Muon: the momentum of each matrix is made nearly orthogonal; other parameters use AdamW.

Convolutions count as matrices [out, in * height * width]. Matrices of the same shape are updated
together. The update is scaled so that AdamW's learning rates fit (Jordan et al. 2024;
Liu et al. 2025, arXiv 2502.16982).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from basemodel.devices import fast_dtype


def orthogonal(g: Tensor, rounds: int = 5) -> Tensor:
    """A nearly orthogonal matrix close to each of [N,m,n], by Newton-Schulz iterations."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = g.shape[-2] <= g.shape[-1]
    x = g.to(fast_dtype(g.device))
    x = x if wide else x.transpose(-2, -1)
    x = x / (x.flatten(1).float().norm(dim=1)[:, None, None].to(x.dtype) + 1e-7)
    for _ in range(rounds):
        gram = x @ x.transpose(-2, -1)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = (x if wide else x.transpose(-2, -1)).to(g.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """`matrices` get the orthogonal update, `others` AdamW's. The learning rate is the same."""

    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[Tensor],
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "matrix": True, "weight_decay": weight_decay},
            {"params": list(others), "matrix": False, "weight_decay": 0.0},
        ]
        super().__init__(groups, {"lr": 1e-3, "momentum": momentum, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            live = [p for p in group["params"] if p.grad is not None]
            (self._matrix_step if group["matrix"] else self._adam_step)(live, group)

    def _matrix_step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        by_shape: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
        for p in params:
            by_shape[(p.shape[0], p[0].numel())].append(p)
        for (rows, columns), same in by_shape.items():
            updates = []
            for p in same:
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                assert p.grad is not None
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                updates.append(p.grad.lerp(state["momentum"], group["momentum"]).reshape(rows, -1))
            orthogonalised = orthogonal(torch.stack(updates))
            size = group["lr"] * 0.2 * max(rows, columns) ** 0.5
            for p, update in zip(same, orthogonalised.unbind(), strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.reshape(p.shape), alpha=-size)

    def _adam_step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for p in params:
            state = self.state[p]
            if not state:
                state.update(step=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
            assert p.grad is not None
            state["step"] += 1
            state["mean"].lerp_(p.grad, 1 - first)
            state["square"].lerp_(p.grad.square(), 1 - second)
            mean = state["mean"] / (1 - first ** state["step"])
            root = (state["square"] / (1 - second ** state["step"])).sqrt_().add_(1e-8)
            p.addcdiv_(mean, root, value=-group["lr"])


def split(
    model: torch.nn.Module, not_matrices: tuple[str, ...]
) -> tuple[list[Tensor], list[Tensor]]:
    """(matrices, others) of a model's parameters.

    Vectors, small matrices, and the layers whose names begin with one of `not_matrices` (the first
    and the last ones) are among the others.
    """
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, p in model.named_parameters():
        plain = p.ndim < 2 or min(p.shape[0], p[0].numel()) < 16 or name.startswith(not_matrices)
        (others if plain else matrices).append(p)
    return matrices, others
