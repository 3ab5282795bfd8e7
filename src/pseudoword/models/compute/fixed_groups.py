"""Products and convolutions that round a row, or a picture, in the same way beside any others.

A processor with tiles for bfloat16 (Intel's AMX) adds up long sums in pieces, and oneDNN chooses
the pieces by the number of rows; and it convolves one or two very small pictures in another way
than more of them. There, all are computed in groups of one size. On processors without tiles, and
in float32, neither is so.
"""

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

ROWS = 128
"""In a group: few enough for the text of one word, and enough for the tiles."""

LONG = 512
"""Products in a sum from which on it is added up in pieces."""

PICTURES = 8
"""In a group; those of up to two are the ones that differ."""

SMALL = 9
"""Positions of a convolution's result from which on it does not depend on the pictures. 2×2 does,
which is what the bundled model has in the middle; Stable Diffusion at 512 px has 8×8."""


@functools.cache
def _has_tiles() -> bool:
    return torch.backends.mkldnn.is_available() and torch.cpu._is_amx_tile_supported()


def depends_on_rows(x: Tensor, *lengths: int) -> bool:
    """Whether a product that reads `x` rounds a row by how many there are.

    Args:
        x: the factor whose rows they are.
        lengths: of the sums, in the product and where wanted in that for its gradient.
    """
    return _uses_tiles(x) and max(lengths) >= LONG


def depends_on_pictures(x: Tensor, size: Sequence[int]) -> bool:
    """Whether a convolution of `x` with a result of that size, `h` and `w`, rounds a picture by how
    many there are."""
    return _uses_tiles(x) and math.prod(size) < SMALL


def in_fixed_rows(product: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`product` of `x` `[…, C]`, `[…, D]`, from products of `[ROWS, C]`."""
    return _in_groups(product, x.reshape(-1, x.shape[-1]), ROWS).view(*x.shape[:-1], -1)


def in_fixed_pictures(convolution: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`convolution` of `x` `[B, C, h, w]`, from those of `[PICTURES, C, h, w]`."""
    return _in_groups(convolution, x, PICTURES)


def _uses_tiles(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and _has_tiles()


def _in_groups(compute: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """`compute` of `x` `[N, …]` from results for `[size, …]`; what is missing are zeros."""
    missing = -len(x) % size
    whole = pad(x, (0, 0) * (x.ndim - 1) + (0, missing)) if missing else x
    made = [compute(part) for part in whole.split(size)]
    together = torch.cat(made) if len(made) > 1 else made[0]
    return together[: len(x)]
