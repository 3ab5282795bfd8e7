"""Drawings on backgrounds: the bundled model's training pictures and the benchmark's references."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (18, 18, 20),
    "gray": (150, 152, 156),
    "red": (214, 45, 48),
    "orange": (245, 146, 40),
    "yellow": (250, 220, 70),
    "green": (70, 165, 75),
    "blue": (60, 115, 225),
    "purple": (140, 75, 185),
    "pink": (248, 165, 200),
    "brown": (130, 85, 55),
    "teal": (45, 175, 175),
}
"""Background colours by the word that captions use."""

SINGLE_BOX = (0.5, 0.5, 0.82)
"""The box of a single thing."""

PLACES = {
    "on the left": (0.28, 0.5, 0.47),
    "on the right": (0.72, 0.5, 0.47),
    "at the top": (0.5, 0.28, 0.47),
    "at the bottom": (0.5, 0.72, 0.47),
}
"""Boxes of a small thing at a named place."""

BOXES_BY_COUNT = {
    1: (SINGLE_BOX,),
    2: ((0.27, 0.5, 0.43), (0.73, 0.5, 0.43)),
    3: ((0.27, 0.28, 0.43), (0.73, 0.28, 0.43), (0.5, 0.73, 0.43)),
    4: ((0.27, 0.27, 0.43), (0.73, 0.27, 0.43), (0.27, 0.73, 0.43), (0.73, 0.73, 0.43)),
}
"""Number of things -> boxes that do not overlap."""

Box = tuple[float, float, float]
"""Centre x, centre y and side, as fractions of the picture's side."""


@dataclass(frozen=True)
class Placed:
    """A drawing in its box."""

    drawing: np.ndarray
    """[S, S, 4] uint8, premultiplied RGBA"""
    box: Box


def paste(canvas: np.ndarray, placed: Placed) -> None:
    """Draw into `canvas`, [H, H, 3] float32 in [0, 255]; what lies outside is cut off."""
    x, y, side = placed.box
    size = len(canvas)
    width = max(8, round(side * size))
    small = Image.fromarray(placed.drawing, "RGBa").resize((width, width), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32)
    left, top = round(x * size - width / 2), round(y * size - width / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, size), min(top + width, size)
    part = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
    behind = canvas[y0:y1, x0:x1]
    canvas[y0:y1, x0:x1] = part[..., :3] + behind * (1 - part[..., 3:] / 255)


def compose(background: str, things: Sequence[Placed], side_px: int) -> Image.Image:
    """The drawings on a plain background of the named colour."""
    canvas = np.empty((side_px, side_px, 3), np.float32)
    canvas[:] = COLOURS[background]
    for placed in things:
        paste(canvas, placed)
    return Image.fromarray(canvas.clip(0, 255).round().astype(np.uint8))


def with_article(words: str) -> str:
    """ "an owl", "a red owl": "a" or "an" by the first letter."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
