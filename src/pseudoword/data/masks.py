"""Masks: which parts of a picture count, as a weight of the loss."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pseudoword.data import images
from pseudoword.errors import PictureError

SHAPE_TOLERANCE = 0.02
"""A mask may have another size than its picture; their aspect ratios may differ by this much."""


def read(mask_file: Path, path: Path, picture: Image.Image, needed_px: int) -> Image.Image:
    """Read a mask and scale it to the size of its picture.

    Args:
        mask_file: the mask; white counts, black does not.
        path: the picture's file, for the message.
        picture: the picture.
        needed_px: as in `images.decode`.

    Returns:
        The mask in mode L.

    Raises:
        PictureError: the mask cannot be read, or has another shape than its picture.
    """
    mask = images.open_picture(mask_file, "black", needed_px).convert("L")
    ratio = mask.width * picture.height / (mask.height * picture.width)
    if abs(ratio - 1) > SHAPE_TOLERANCE:
        raise PictureError(
            f"{mask_file} is {mask.width} x {mask.height} pixels and {path.name} {picture.width} x "
            f"{picture.height}; a mask needs the shape of its picture."
        )
    return mask.resize(picture.size, Image.Resampling.BILINEAR)


def weight(mask: Tensor | None, height: int, width: int, unmasked: float) -> Tensor:
    """The loss weight of each latent position, `[1, height, width]`.

    The mean weight is one, so that a small subject does not make the loss small.

    Args:
        mask: `[H, W]` in [0, 1]; not all zero, unless `unmasked` is above zero. Without a mask,
            all positions count alike.
        height: of the latent.
        width: of the latent.
        unmasked: weight of the parts where the mask is 0; parts where it is 1 have weight 1.
    """
    if mask is None:
        return torch.ones(1, height, width, dtype=torch.float32)
    small = torch.nn.functional.adaptive_avg_pool2d(mask[None], (height, width))
    weights = unmasked + (1 - unmasked) * small
    return weights / weights.mean()
