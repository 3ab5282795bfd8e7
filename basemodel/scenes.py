"""Scenes: which things, where, on what background, and the words that say so.

A `Scene` is drawn from a keyed random generator, turned into pixels by `paint` and into words by
`basemodel.captions.caption`, so that both always agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from basemodel.pictures import Artwork
from basemodel.settings import PICTURE_PX
from pseudoword.benchmark.compose import COLOURS, PLACES, Placed, paste

COLOUR_WORDS = tuple(COLOURS)
PATTERNS = ("striped", "dotted", "checked")


@dataclass(frozen=True)
class Scene:
    """What one composed picture shows. `rows` index the artwork; all have the same style."""

    kind: str
    """"single", "pair" or "copies"."""
    rows: tuple[int, ...]
    boxes: tuple[tuple[float, float, float], ...]
    """One (centre x, centre y, side) per drawn thing, as fractions of the picture's side."""
    colours: tuple[str, ...]
    """Background colour; two of them when there is a pattern."""
    pattern: str = ""
    place: str = ""
    jitter: tuple[int, int, int] = (0, 0, 0)
    phase: int = 0
    tint: str = ""
    """A colour whose shades the thing is drawn in, instead of its own colours."""


def _spread(count: int, rng: Generator) -> tuple[tuple[float, float, float], ...]:
    """Boxes for 2, 3 or 4 things that don't overlap."""
    spots = {
        2: ((0.27, 0.5), (0.73, 0.5)),
        3: ((0.27, 0.28), (0.73, 0.28), (0.5, 0.73)),
        4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
    }[count]
    side = rng.uniform(0.40, 0.46)
    return tuple(
        (x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02), side) for x, y in spots
    )


EXTRA_SHARE = 0.45
"""Of the scenes, when there are names that only widen the world."""
SINGLE_SHARE, PAIR_SHARE = 0.65, 0.2
"""Of the scenes: one thing, two side by side; the rest shows copies."""
PLACE_SHARE, TINT_SHARE = 0.22, 0.08
"""Of the single things: smaller at a place, and in shades of one colour."""


class SceneMaker:
    """Draws random scenes from artwork: known names as often as each other, and so extra ones."""

    def __init__(self, art: Artwork) -> None:
        self.art = art
        self.rows_of_style = [np.flatnonzero(art.style == s) for s in range(art.style.max() + 1)]
        by_thing = [np.flatnonzero(art.thing == t) for t in range(len(art.things))]
        self.rows_of_thing = {thing: rows for thing, rows in enumerate(by_thing) if len(rows)}
        self.named = [thing for thing in self.rows_of_thing if not art.things[thing].extra]
        self.extra = [thing for thing in self.rows_of_thing if art.things[thing].extra]

    def background(self, rng: Generator) -> tuple[tuple[str, ...], str]:
        """(colours, pattern): white is likelier than the rest; one in seven has a pattern."""
        if rng.random() < 0.14:
            first, second = rng.choice(len(COLOUR_WORDS), 2, replace=False)
            pattern = PATTERNS[rng.integers(len(PATTERNS))]
            return (COLOUR_WORDS[first], COLOUR_WORDS[second]), pattern
        if rng.random() < 0.2:
            return ("white",), ""
        return (COLOUR_WORDS[rng.integers(len(COLOUR_WORDS))],), ""

    def draw(self, rng: Generator) -> Scene:
        """One scene."""
        things = self.extra if self.extra and rng.random() < EXTRA_SHARE else self.named
        rows = self.rows_of_thing[things[rng.integers(len(things))]]
        row = int(rows[rng.integers(len(rows))])
        colours, pattern = self.background(rng)
        red, green, blue = rng.integers(-7, 8, 3).tolist()
        jitter = (red, green, blue)
        phase = int(rng.integers(16))
        kind = rng.random()
        place = ""
        if kind < SINGLE_SHARE:
            if rng.random() < PLACE_SHARE:
                place = list(PLACES)[rng.integers(len(PLACES))]
                x, y, _ = PLACES[place]
                box = (x, y, rng.uniform(0.42, 0.52))
            else:
                side = rng.uniform(0.72, 0.92)
                box = (0.5 + rng.uniform(-0.04, 0.04), 0.5 + rng.uniform(-0.04, 0.04), side)
            tint = ""
            if rng.random() < TINT_SHARE:
                free = [c for c in COLOUR_WORDS if c not in colours]
                tint = free[rng.integers(len(free))]
            return Scene("single", (row,), (box,), colours, pattern, place, jitter, phase, tint)
        if kind < SINGLE_SHARE + PAIR_SHARE:
            mates = self.rows_of_style[self.art.style[row]]
            other = int(mates[rng.integers(len(mates))])
            boxes = _spread(2, rng)
            return Scene("pair", (row, other), boxes, colours, pattern, "", jitter, phase)
        boxes = _spread(int(rng.integers(2, 5)), rng)
        return Scene("copies", (row,) * len(boxes), boxes, colours, pattern, "", jitter, phase)

    def draw_alike(self, rng: Generator, count: int) -> list[Scene]:
        """A thing in up to `count` styles, alike otherwise: telling them apart takes the style."""
        first = self.draw(rng)
        rows = self.rows_of_thing[int(self.art.thing[first.rows[0]])]
        others = [int(r) for r in rng.permutation(rows) if r != first.rows[0]][: count - 1]
        alone = replace(first, kind="single", rows=first.rows[:1], boxes=first.boxes[:1])
        return [alone, *(replace(alone, rows=(row,)) for row in others)]


def _ground(scene: Scene) -> np.ndarray:
    """The background alone, [64,64,3] float32 in [0,255]."""
    first = np.array(COLOURS[scene.colours[0]], np.float32) + np.array(scene.jitter, np.float32)
    side = PICTURE_PX
    if not scene.pattern:
        return np.broadcast_to(first.clip(0, 255), (side, side, 3)).copy()
    second = np.array(COLOURS[scene.colours[1]], np.float32) + np.array(scene.jitter, np.float32)
    y, x = np.mgrid[0:side, 0:side] + scene.phase
    if scene.pattern == "striped":
        mask = (x // 8) % 2 == 0
    elif scene.pattern == "checked":
        mask = ((x // 8) + (y // 8)) % 2 == 0
    else:
        mask = ((x % 16) - 7.5) ** 2 + ((y % 16) - 7.5) ** 2 < 16
    return np.where(mask[..., None], second, first).clip(0, 255).astype(np.float32)


def tinted(rgba: np.ndarray, tint: str) -> np.ndarray:
    """A drawing [H,W,4] uint8, premultiplied, in shades of one colour: what is dark stays dark,
    what is light becomes white."""
    alpha = rgba[..., 3:].astype(np.float32)
    light = rgba[..., :3].astype(np.float32) @ np.array([0.3, 0.59, 0.11], np.float32)
    shade = light[..., None] / np.maximum(alpha, 1)  # 0..1
    colour = np.array(COLOURS[tint], np.float32) / 255
    full = np.where(shade < 0.6, colour * shade / 0.6, colour + (1 - colour) * (shade - 0.6) / 0.4)
    return np.concatenate([full * alpha, alpha], -1).clip(0, 255).astype(np.uint8)


def paint(scene: Scene, art: Artwork) -> np.ndarray:
    """The composed picture, [64,64,3] uint8."""
    canvas = _ground(scene)
    for row, box in zip(scene.rows, scene.boxes, strict=True):
        drawing = tinted(art.rgba[row], scene.tint) if scene.tint else art.rgba[row]
        paste(canvas, Placed(drawing, box))
    return canvas.clip(0, 255).round().astype(np.uint8)
