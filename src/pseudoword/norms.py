"""What keeps the rows of a word near the length of the vocabulary's own.

A row much longer than any real word's drowns the words around it in the prompt.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pseudoword.families.base import Family


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


@torch.no_grad()
def control(
    rows: Mapping[str, Tensor], typical: Mapping[str, float], kind: str, pull: float
) -> None:
    """Change the length of each of `rows` `[n, width]`, in place, never its direction.

    Args:
        rows: per text encoder.
        typical: the norm to keep to, per text encoder.
        kind: `none`; `limit` (no row is longer), `rescale` (every row is exactly as long), `pull`.
        pull: the part of the way that `pull` goes in each step.
    """
    if kind == "none":
        return
    for key, some in rows.items():
        norm = some.norm(dim=-1, keepdim=True)
        to_typical = typical[key] / norm
        factor = {
            "limit": to_typical.clamp(max=1),
            "rescale": to_typical,
            "pull": 1 + pull * (to_typical - 1),
        }[kind]
        some.mul_(torch.where(norm > 0, factor, 1.0))


def mean_norm(rows: Mapping[str, Tensor]) -> Tensor:
    """Mean norm of all rows, a scalar on their device."""
    return torch.stack([r.detach().norm(dim=-1).mean() for r in rows.values()]).mean()
