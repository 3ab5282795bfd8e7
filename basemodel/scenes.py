"""Scenes: which things are shown, where, and on what background.

A `Scene` is made by a keyed random generator. `paint` turns it into pixels and
`basemodel.captions.caption` into words, so that both always agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from basemodel.drawings import Drawings
from basemodel.settings import PICTURE_PX
from pseudoword.benchmark.compose import COLOURS, PLACES, Box, Placed, paste

COLOUR_WORDS = tuple(COLOURS)
PATTERNS = ("striped", "dotted", "checked")


@dataclass(frozen=True)
class Scene:
    """What one composed picture shows."""

    kind: str
    """"single", "pair" or "copies"."""
    rows: tuple[int, ...]
    """Of the drawings that are shown; all have the same style."""
    boxes: tuple[Box, ...]
    """One for each shown drawing."""
    colours: tuple[str, ...]
    """Background colour; two of them when there is a pattern."""
    pattern: str = ""
    """"striped", "dotted", "checked" or none."""
    place: str = ""
    """A name of PLACES, or none."""
    jitter: tuple[int, int, int] = (0, 0, 0)
    """Added to the background's red, green and blue."""
    phase: int = 0
    """Shift of the pattern, in pixels."""
    tint: str = ""
    """A colour; the thing is drawn in its shades instead of its own colours."""


EXTRA_SHARE = 0.45
"""Share of scenes that show an extra thing, if there are any."""
SINGLE_SHARE, PAIR_SHARE = 0.65, 0.2
"""Shares of scenes with one thing, and with two side by side; the others show copies."""
PLACE_SHARE, TINT_SHARE = 0.22, 0.08
"""Shares of single things: at a named place (and smaller), and in shades of one colour."""


class SceneMaker:
    """Makes random scenes. Named things have equal chances, and so have extra things."""

    def __init__(self, drawings: Drawings) -> None:
        self.drawings = drawings
        styles = range(drawings.style.max() + 1)
        self.rows_of_style = [np.flatnonzero(drawings.style == style) for style in styles]
        by_thing = [np.flatnonzero(drawings.thing == t) for t in range(len(drawings.things))]
        self.rows_of_thing = {thing: rows for thing, rows in enumerate(by_thing) if len(rows)}
        self.named = [thing for thing in self.rows_of_thing if not drawings.things[thing].extra]
        self.extra = [thing for thing in self.rows_of_thing if drawings.things[thing].extra]

    def scene(self, rng: Generator) -> Scene:
        """One scene."""
        things = self.extra if self.extra and rng.random() < EXTRA_SHARE else self.named
        rows = self.rows_of_thing[things[rng.integers(len(things))]]
        row = int(rows[rng.integers(len(rows))])
        colours, pattern = _background(rng)
        red, green, blue = rng.integers(-7, 8, 3).tolist()
        empty = Scene(
            "single", (row,), (), colours, pattern,
            jitter=(red, green, blue), phase=int(rng.integers(16)),
        )  # fmt: skip
        kind = rng.random()
        if kind < SINGLE_SHARE:
            return _with_single(empty, rng)
        if kind < SINGLE_SHARE + PAIR_SHARE:
            same_style = self.rows_of_style[self.drawings.style[row]]
            other = int(same_style[rng.integers(len(same_style))])
            return replace(empty, kind="pair", rows=(row, other), boxes=_apart(2, rng))
        boxes = _apart(int(rng.integers(2, 5)), rng)
        return replace(empty, kind="copies", rows=(row,) * len(boxes), boxes=boxes)

    def scenes_in_styles(self, rng: Generator, count: int) -> list[Scene]:
        """One thing in up to `count` styles. Only the style tells these scenes apart."""
        first = self.scene(rng)
        rows = self.rows_of_thing[int(self.drawings.thing[first.rows[0]])]
        others = [int(r) for r in rng.permutation(rows) if r != first.rows[0]][: count - 1]
        single = replace(first, kind="single", rows=first.rows[:1], boxes=first.boxes[:1])
        return [single, *(replace(single, rows=(row,)) for row in others)]


def _background(rng: Generator) -> tuple[tuple[str, ...], str]:
    """(colours, pattern): one in seven has a pattern; of the others white is the most likely."""
    if rng.random() < 0.14:
        first, second = rng.choice(len(COLOUR_WORDS), 2, replace=False)
        pattern = PATTERNS[rng.integers(len(PATTERNS))]
        return (COLOUR_WORDS[first], COLOUR_WORDS[second]), pattern
    if rng.random() < 0.2:
        return ("white",), ""
    return (COLOUR_WORDS[rng.integers(len(COLOUR_WORDS))],), ""


def _with_single(scene: Scene, rng: Generator) -> Scene:
    """The scene with its thing at a named place or in the middle, sometimes tinted."""
    place = tint = ""
    if rng.random() < PLACE_SHARE:
        place = list(PLACES)[rng.integers(len(PLACES))]
        x, y, _ = PLACES[place]
        box = (x, y, rng.uniform(0.42, 0.52))
    else:
        side = rng.uniform(0.72, 0.92)
        box = (0.5 + rng.uniform(-0.04, 0.04), 0.5 + rng.uniform(-0.04, 0.04), side)
    if rng.random() < TINT_SHARE:
        free = [colour for colour in COLOUR_WORDS if colour not in scene.colours]
        tint = free[rng.integers(len(free))]
    return replace(scene, boxes=(box,), place=place, tint=tint)


def _apart(count: int, rng: Generator) -> tuple[Box, ...]:
    """Boxes for 2, 3 or 4 things that do not overlap."""
    centres = {
        2: ((0.27, 0.5), (0.73, 0.5)),
        3: ((0.27, 0.28), (0.73, 0.28), (0.5, 0.73)),
        4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
    }[count]
    side = rng.uniform(0.40, 0.46)
    return tuple(
        (x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02), side) for x, y in centres
    )


def _paint_background(scene: Scene) -> np.ndarray:
    """The background alone, [64,64,3] float32 in [0,255]."""
    first, *second = (
        np.array(COLOURS[colour], np.float32) + np.array(scene.jitter, np.float32)
        for colour in scene.colours
    )
    if not scene.pattern:
        return np.broadcast_to(first.clip(0, 255), (PICTURE_PX, PICTURE_PX, 3)).copy()
    y, x = np.mgrid[0:PICTURE_PX, 0:PICTURE_PX] + scene.phase
    if scene.pattern == "striped":
        mask = (x // 8) % 2 == 0
    elif scene.pattern == "checked":
        mask = ((x // 8) + (y // 8)) % 2 == 0
    else:
        mask = ((x % 16) - 7.5) ** 2 + ((y % 16) - 7.5) ** 2 < 16
    return np.where(mask[..., None], second[0], first).clip(0, 255).astype(np.float32)


def tinted(rgba: np.ndarray, tint: str) -> np.ndarray:
    """A drawing in shades of one colour: dark pixels stay dark, light ones become white.

    Args:
        rgba: [H,W,4] uint8, premultiplied.
        tint: a colour's word.
    """
    alpha = rgba[..., 3:].astype(np.float32)
    light = rgba[..., :3].astype(np.float32) @ np.array([0.3, 0.59, 0.11], np.float32)
    shade = light[..., None] / np.maximum(alpha, 1)  # 0..1
    colour = np.array(COLOURS[tint], np.float32) / 255
    full = np.where(shade < 0.6, colour * shade / 0.6, colour + (1 - colour) * (shade - 0.6) / 0.4)
    return np.concatenate([full * alpha, alpha], -1).clip(0, 255).astype(np.uint8)


def paint(scene: Scene, drawings: Drawings) -> np.ndarray:
    """The composed picture, [64,64,3] uint8."""
    canvas = _paint_background(scene)
    for row, box in zip(scene.rows, scene.boxes, strict=True):
        rgba = drawings.rgba[row]
        paste(canvas, Placed(tinted(rgba, scene.tint) if scene.tint else rgba, box))
    return canvas.clip(0, 255).round().astype(np.uint8)
