"""What counts in a picture: its alpha, or a mask file beside it, as a weight of the loss."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pseudoword.data import images
from pseudoword.errors import PictureError

SHAPE_TOLERANCE = 0.02
"""A mask may have another size than its picture, and sides that differ in ratio by this much."""


def read(file: Path, path: Path, picture: Image.Image, needed_px: int | None = None) -> Image.Image:
    """The mask in `file` in the size of `picture`, which is that of `path`: mode L, white counts.

    Raises:
        PictureError: the mask file cannot be read, or has another shape; the message names it.
    """
    mask = images.open_picture(file, "black", needed_px).convert("L")
    ratio = mask.width * picture.height / (mask.height * picture.width)
    if abs(ratio - 1) > SHAPE_TOLERANCE:
        raise PictureError(
            f"{file} is {mask.width} x {mask.height} pixels and {path.name} {picture.width} x "
            f"{picture.height}; a mask needs the shape of its picture."
        )
    return mask.resize(picture.size, Image.Resampling.BILINEAR)


def weight(mask: Tensor | None, height: int, width: int, unmasked: float) -> Tensor:
    """How much each position of a latent counts, `[1, height, width]`, one on average.

    Since the mean is one, a small subject does not make for a small loss.

    Args:
        mask: `[H, W]` in [0, 1], where something of it is not zero or `unmasked` is not; None:
            everything counts alike.
        height: of the latent.
        width: of the latent.
        unmasked: what counts 0 in the mask counts this much.
    """
    if mask is None:
        return torch.ones(1, height, width)
    small = torch.nn.functional.adaptive_avg_pool2d(mask[None], (height, width))
    counts = unmasked + (1 - unmasked) * small
    return counts / counts.mean()
