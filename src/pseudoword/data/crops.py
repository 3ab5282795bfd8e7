"""Which part of a picture is seen: never squashed, and known to the pixel.

Pure geometry. A picture is scaled so that it just covers the frame, and the frame is laid somewhere
on it. SDXL-like models are told where (`corner`), as their own training told them.
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
"""(width, height) in pixels, as Pillow has it."""

MAX_SIDE_RATIO = 2.0
"""The sides of buckets lie between the resolution over this and the resolution times this."""


@dataclass(frozen=True)
class Crop:
    """A frame on a scaled picture."""

    size: Size
    """of the frame"""
    scale: float
    """what the picture is enlarged by first"""
    offset: tuple[int, int]
    """(left, top) of the frame in the scaled picture"""
    flipped: bool = False
    """whether what is in the frame is mirrored then"""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the frame in the picture as it was."""
        (left, top), (width, height), scale = self.offset, self.size, self.scale
        return left / scale, top / scale, (left + width) / scale, (top + height) / scale

    def cut(self, picture: Image.Image) -> Image.Image:
        """What is in the frame."""
        left, top, right, bottom = self.box
        inside = (left, top, min(right, picture.width), min(bottom, picture.height))
        seen = picture.resize(self.size, Image.Resampling.LANCZOS, box=inside)
        return ImageOps.mirror(seen) if self.flipped else seen

    def corner(self, picture: Size) -> tuple[int, int]:
        """(top, left) of the frame in the scaled, and perhaps mirrored, picture of this size."""
        left, top = self.offset
        if self.flipped:
            left = round(picture[0] * self.scale) - left - self.size[0]
        return top, left


def centre(picture: Size, frame: Size) -> Crop:
    """The frame on the middle of the picture."""
    scale, _ = _scale_to_cover(picture, frame)
    left, top = (round((p * scale - f) / 2) for p, f in zip(picture, frame, strict=True))
    return Crop(frame, scale, (left, top))


def random_crops(picture: Size, frame: Size, count: int, key: Sequence[object]) -> list[Crop]:
    """Up to `count` different places, drawn from `key` alone.

    The picture covers the frame just so, hence places differ along its longer side only, and a
    picture of the frame's shape has but one.
    """
    scale, room = _scale_to_cover(picture, frame)
    source = generator("crops", *key)
    places = [
        tuple(int(torch.randint(side + 1, (), generator=source)) for side in room)
        for _ in range(count)
    ]
    return [Crop(frame, scale, (left, top)) for left, top in dict.fromkeys(places)]


def focal(picture: Size, frame: Size, interest: Tensor) -> Crop:
    """Where the frame holds most of `interest` `[h, w]`, a map of the picture in any size.

    What lies in the frame's middle counts most and its edges nothing (a Hann window), so the
    subject comes to stand in the middle and not at an edge.
    """
    scale, room = _scale_to_cover(picture, frame)
    offset = []
    for axis, (side, free) in enumerate(zip(frame, room, strict=True)):
        profile = interest.double().sum(axis)  # axis 0 is height: what is left varies with width
        cells = len(profile)
        window = max(1, min(cells, round(cells * side / (side + free))))
        hann = torch.hann_window(window + 2, periodic=False, dtype=torch.float64)[1:-1]
        held = F.conv1d(profile.view(1, 1, -1), hann.view(1, 1, -1)).flatten()
        best = (held >= held.max() * (1 - 1e-9)).nonzero().double().mean()  # the middle of a tie
        offset.append(round(float(best) / max(1, cells - window) * free))
    return Crop(frame, scale, (offset[0], offset[1]))


def bucket_sizes(resolution: int, step: int) -> list[Size]:
    """Frames of many shapes, with sides that are multiples of `step`.

    Each has about `resolution`² pixels and none has more, so that all fit in memory if one does.
    """
    first = max(1, math.ceil(resolution / MAX_SIDE_RATIO / step)) * step
    widths = range(first, int(resolution * MAX_SIDE_RATIO) + 1, step)
    frames = {(w, resolution * resolution // w // step * step) for w in widths}
    frames |= {(h, w) for w, h in frames}
    frames.add((resolution, resolution))
    return sorted(f for f in frames if min(f) >= first)


def nearest_size(picture: Size, frames: Sequence[Size]) -> Size:
    """The frame whose shape is most like the picture's; of several, the largest."""

    def unlike(frame: Size) -> tuple[float, int]:
        ratio = picture[0] * frame[1] / (picture[1] * frame[0])
        return abs(math.log(ratio)), -frame[0] * frame[1]

    return min(frames, key=unlike)


def _scale_to_cover(picture: Size, frame: Size) -> tuple[float, tuple[int, int]]:
    """The scale at which the picture covers the frame, and the pixels left over on each axis."""
    scale = max(frame[0] / picture[0], frame[1] / picture[1])
    wide, high = (round(side * scale) for side in picture)
    return scale, (max(0, wide - frame[0]), max(0, high - frame[1]))
