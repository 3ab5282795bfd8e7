"""What keeps the rows of a word about as long as real words are.

What a row means lies mostly in its direction; one much longer than a real word's drowns the words
around it (Kim et al. 2025, arXiv 2512.13672, who learn the direction alone).
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def aims(
    start: Mapping[str, Tensor],
    usual: Mapping[str, float],
    kind: str,
    device: torch.device | None = None,
) -> dict[str, Tensor]:
    """The norms that rows which begin at `start` `[n, width]` are held to, `[n, 1]` each.

    The vocabulary's median, `usual`; with `keep` that of the start where it is longer, as a word in
    use mostly is (a mean of several words is shorter than any of them).
    """
    found = {}
    for key, median in usual.items():
        norm = start[key].float().norm(dim=-1, keepdim=True).to(device)
        found[key] = norm.clamp(min=median, max=None if kind == "keep" else median)
    return found


@torch.no_grad()
def control(rows: Mapping[str, Tensor], aims: Mapping[str, Tensor], kind: str, pull: float) -> None:
    """Change the length of each of `rows` `[n, width]`, in place, never its direction.

    Args:
        rows: per text encoder.
        aims: the norms to hold to, `[n, 1]` per text encoder.
        kind: `none`; `limit` (no row is longer), `rescale` and `keep` (every row is exactly as
            long), `pull`.
        pull: the part of the way that `pull` goes in each step.
    """
    if kind == "none":
        return
    for key, some in rows.items():
        norm = some.norm(dim=-1, keepdim=True)
        to_aim = aims[key] / norm
        factor = {
            "limit": to_aim.clamp(max=1),
            "rescale": to_aim,
            "keep": to_aim,
            "pull": 1 + pull * (to_aim - 1),
        }[kind]
        some.mul_(torch.where((norm > 0) & norm.isfinite(), factor, 1.0))


def mean_norm(rows: Mapping[str, Tensor]) -> Tensor:
    """Mean norm of all rows, a scalar on their device."""
    return torch.stack([r.detach().norm(dim=-1).mean() for r in rows.values()]).mean()
