"""What keeps the rows of a word about as long as real words are.

What a row means lies mostly in its direction; one much longer than a real word's drowns the words
around it (Kim et al. 2025, arXiv 2512.13672, who learn the direction alone).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pseudoword.models.family import Family


def typical(family: Family) -> dict[str, float]:
    """The median norm of the vocabulary's rows, per text encoder."""
    return {
        key: float(encoder.table.detach().float().norm(dim=-1).median())
        for key, encoder in family.encoders.items()
    }


def usual_number(family: Family) -> float:
    """The size (root of the mean square) of one number in the vocabulary's rows."""
    sizes = [norm / math.sqrt(family.encoders[key].width) for key, norm in typical(family).items()]
    return sum(sizes) / len(sizes)


def aims(family: Family, start: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """The norms that rows which begin at `start` `[n, width]` are held to, `[n, 1]` per encoder.

    The vocabulary's median; with `keep` that of the start where it is longer, as a word in use
    mostly is (a mean of several words is shorter than any of them).
    """
    found = {}
    for key, median in typical(family).items():
        norm = start[key].float().norm(dim=-1, keepdim=True).to(family.device)
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
        some.mul_(torch.where(norm > 0, factor, 1.0))


def mean_norm(rows: Mapping[str, Tensor]) -> Tensor:
    """Mean norm of all rows, a scalar on their device."""
    return torch.stack([r.detach().norm(dim=-1).mean() for r in rows.values()]).mean()
