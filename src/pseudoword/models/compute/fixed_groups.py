"""Matrix products that round a row in the same way, whatever rows are beside it.

A processor with tiles for bfloat16 (Intel's AMX) adds up long sums in pieces, and oneDNN chooses
the pieces by the number of rows. There, rows are multiplied in groups of one size. On processors
without tiles, and in float32, the sums do not depend on the rows.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

ROWS = 128
"""In a group: few enough for the text of one word, and enough for the tiles."""

LONG = 512
"""Products in a sum from which on it is added up in pieces."""


@functools.cache
def _has_tiles() -> bool:
    return torch.backends.mkldnn.is_available() and torch.cpu._is_amx_tile_supported()


def depends_on_rows(x: Tensor, *lengths: int) -> bool:
    """Whether a product that reads `x` rounds a row by how many there are.

    Args:
        x: the factor whose rows they are.
        lengths: of the sums, in the product and where wanted in that for its gradient.
    """
    tiles = x.dtype == torch.bfloat16 and x.device.type == "cpu" and _has_tiles()
    return tiles and max(lengths) >= LONG


def in_fixed_rows(product: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`product` of `x` `[…, C]`, `[…, D]`, from products of `[ROWS, C]`; missing rows are zeros."""
    rows = x.reshape(-1, x.shape[-1])
    missing = -len(rows) % ROWS
    whole = pad(rows, (0, 0, 0, missing)) if missing else rows
    made = [product(part) for part in whole.split(ROWS)]
    together = torch.cat(made) if len(made) > 1 else made[0]
    return together[: len(rows)].view(*x.shape[:-1], -1)
