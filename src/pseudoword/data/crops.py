"""Crops: which part of a picture the model sees.

Pure geometry. A picture is scaled until it just covers the crop; its aspect ratio does not change.
Then the crop is placed on it. SDXL-like models get the crop's corner, as in their own training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from pseudoword.rng import generator

Size = tuple[int, int]
"""(width, height) in pixels, as in Pillow."""

MAX_SIDE_RATIO = 2.0
"""The sides of buckets are between the resolution divided by this and multiplied by this."""


@dataclass(frozen=True)
class Crop:
    """A rectangle of a scaled picture."""

    size: Size
    """of the rectangle"""
    scale: float
    """the picture is enlarged by this first"""
    offset: tuple[int, int]
    """(left, top) of the rectangle in the scaled picture"""
    flipped: bool = False
    """whether the rectangle is mirrored afterwards"""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in the picture before scaling."""
        (left, top), (width, height), scale = self.offset, self.size, self.scale
        return left / scale, top / scale, (left + width) / scale, (top + height) / scale

    def cut(self, picture: Image.Image) -> Image.Image:
        """The cropped picture, of the crop's size."""
        left, top, right, bottom = self.box
        inside = (left, top, min(right, picture.width), min(bottom, picture.height))
        cropped = picture.resize(self.size, Image.Resampling.LANCZOS, box=inside)
        return ImageOps.mirror(cropped) if self.flipped else cropped

    def corner(self, picture: Size) -> tuple[int, int]:
        """(top, left) in the scaled picture, which is mirrored if the crop is flipped."""
        left, top = self.offset
        if self.flipped:
            left = round(picture[0] * self.scale) - left - self.size[0]
        return top, left


def centre(picture: Size, size: Size) -> Crop:
    """The centre of the picture."""
    scale, _ = _scale_to_cover(picture, size)
    left, top = (round((p * scale - s) / 2) for p, s in zip(picture, size, strict=True))
    return Crop(size, scale, (left, top))


def random_crops(picture: Size, size: Size, count: int, key: Sequence[object]) -> list[Crop]:
    """Up to `count` different random crops; the same `key` gives the same crops.

    The scaled picture just covers the crop, so crops differ along its longer side only, and a
    picture with the shape of the crop has only one.
    """
    scale, room = _scale_to_cover(picture, size)
    source = generator("crops", *key)
    places = [
        tuple(int(torch.randint(side + 1, (), generator=source)) for side in room)
        for _ in range(count)
    ]
    return [Crop(size, scale, (left, top)) for left, top in dict.fromkeys(places)]


def focal(picture: Size, size: Size, saliency: Tensor) -> Crop:
    """The crop that holds most of the saliency.

    The middle of the crop counts most and its edges nothing (a Hann window), so that the subject
    comes to the middle.

    Args:
        picture: its size.
        size: of the crop.
        saliency: `[h, w]`, a map of the picture at any size.
    """
    scale, room = _scale_to_cover(picture, size)
    offset = []
    for axis, (side, free) in enumerate(zip(size, room, strict=True)):
        profile = saliency.double().sum(axis)  # summed over the height, it varies with the width
        cells = len(profile)
        window = max(1, min(cells, round(cells * side / (side + free))))
        hann = torch.hann_window(window + 2, periodic=False, dtype=torch.float64)[1:-1]
        sums = F.conv1d(profile.view(1, 1, -1), hann.view(1, 1, -1)).flatten()
        best = (sums >= sums.max() * (1 - 1e-9)).nonzero().double().mean()  # the middle of a tie
        offset.append(round(float(best) / max(1, cells - window) * free))
    return Crop(size, scale, (offset[0], offset[1]))


def bucket_sizes(resolution: int, step: int) -> list[Size]:
    """The sizes of aspect-ratio buckets; their sides are multiples of `step`.

    Each has about `resolution`² pixels and none has more, so if one fits in memory, all do.
    """
    first = max(1, math.ceil(resolution / MAX_SIDE_RATIO / step)) * step
    widths = range(first, int(resolution * MAX_SIDE_RATIO) + 1, step)
    sizes = {(w, resolution * resolution // w // step * step) for w in widths}
    sizes |= {(h, w) for w, h in sizes}
    sizes.add((resolution, resolution))
    return sorted(size for size in sizes if min(size) >= first)


def nearest_size(picture: Size, sizes: Sequence[Size]) -> Size:
    """The size with the aspect ratio nearest to the picture's; of several, the largest."""

    def distance(size: Size) -> tuple[float, int]:
        ratio = picture[0] * size[1] / (picture[1] * size[0])
        return abs(math.log(ratio)), -size[0] * size[1]

    return min(sizes, key=distance)


def _scale_to_cover(picture: Size, size: Size) -> tuple[float, tuple[int, int]]:
    """The scale at which the picture covers the crop, and the pixels left over on each axis."""
    scale = max(size[0] / picture[0], size[1] / picture[1])
    wide, high = (round(side * scale) for side in picture)
    return scale, (max(0, wide - size[0]), max(0, high - size[1]))
