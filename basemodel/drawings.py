"""Drawings: every wanted icon, drawn once as RGBA pixels."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import resvg_py
from PIL import Image

from basemodel.icon_sets import read_icons
from basemodel.settings import Settings
from basemodel.world import STYLES, Style, Thing, all_things, icons_of, name_of, simplified
from pseudoword.benchmark.artwork import load
from pseudoword.files import write_whole

DRAWN_PX = 96
"""Side of a drawing. It is larger than all uses, so that composing only makes drawings smaller."""

_OUTDOORS = {"building", "sky", "vehicle", "plant"}


@dataclass(frozen=True)
class Drawings:
    """Drawn icons. Every drawing shows one thing in one style."""

    rgba: np.ndarray
    """[N,96,96,4] uint8, premultiplied."""
    thing: np.ndarray
    """[N], index into `things`."""
    style: np.ndarray
    """[N], index into STYLES."""
    things: list[Thing]

    def index(self) -> dict[tuple[int, int], int]:
        """(thing, style) -> row of `rgba`."""
        pairs = zip(self.thing.tolist(), self.style.tolist(), strict=True)
        return {pair: row for row, pair in enumerate(pairs)}

    def only(self, keep: np.ndarray) -> Drawings:
        """The rows where keep [N] is true."""
        return Drawings(self.rgba[keep], self.thing[keep], self.style[keep], self.things)

    def for_training(self) -> Drawings:
        """What the base model may be trained on: no held-out name, no held-out style."""
        held_out_thing = np.array([t.held_out for t in self.things])
        held_out_style = np.array([s.held_out for s in STYLES])
        return self.only(~held_out_thing[self.thing] & ~held_out_style[self.style])

    def without_extras(self) -> Drawings:
        """All but the extra names and styles: what prompts ask for when the model is measured."""
        things = [t for t in self.things if not t.extra]  # extra ones come last
        extra_style = np.array([s.extra for s in STYLES])
        keep = (self.thing < len(things)) & ~extra_style[self.style]
        return Drawings(self.rgba[keep], self.thing[keep], self.style[keep], things)


def draw_all(settings: Settings) -> Drawings:
    """Every wanted (thing, style); read from `work/pictures.npz` if it is there."""
    things = all_things()
    if settings.shipped_drawings:
        return _shipped(things)
    cache = settings.work / "pictures.npz"
    key = json.dumps([[t.icon for t in things], [s.version for s in STYLES], DRAWN_PX])
    if cache.exists():
        with np.load(cache) as kept:
            if str(kept["key"]) == key:
                return Drawings(kept["rgba"], kept["thing"], kept["style"], things)
    drawings = _draw_sets(settings, things)
    buffer = BytesIO()
    np.savez(
        buffer,
        rgba=drawings.rgba,
        thing=drawings.thing,
        style=drawings.style,
        key=np.array(key),
    )
    write_whole(cache, buffer.getvalue())
    return drawings


def _draw_sets(settings: Settings, things: list[Thing]) -> Drawings:
    """Draw the wanted icons of all sets; leave out blank drawings and full squares."""
    svgs, thing_of, style_of = [], [], []
    for number, style in enumerate(STYLES):
        icons = read_icons(style, settings.work / "npm")
        for place, svg in _wanted(style, icons, things):
            svgs.append(svg)
            thing_of.append(place)
            style_of.append(number)
    with ProcessPoolExecutor(settings.threads) as pool:
        rgba = np.stack(list(pool.map(_draw_or_blank, svgs, chunksize=16)))
    is_drawn = rgba[..., 3].reshape(len(rgba), -1).mean(1) > 4
    # Some sets paint a sky behind a building. A full square would hide the prompt's background.
    corners = rgba[:, :: DRAWN_PX - 1, :: DRAWN_PX - 1, 3].reshape(len(rgba), 4).min(1) > 200
    may_have_sky = np.array([things[t].kind in _OUTDOORS or things[t].extra for t in thing_of])
    not_extra = np.array([not STYLES[s].extra for s in style_of])
    keep = is_drawn & ~(corners & may_have_sky & not_extra)
    return Drawings(rgba, np.array(thing_of), np.array(style_of), things).only(keep)


def _wanted(style: Style, icons: dict[str, str], things: list[Thing]) -> list[tuple[int, str]]:
    """(place in things, SVG) of the wanted icons of a set.

    Of an extra set these are the listed icons, of another set all that show a thing.
    """
    if style.extra:
        places: dict[str, int] = {}
        for place, thing in enumerate(things):
            for name in (thing.icon, thing.name) if not thing.held_out else ():
                places.setdefault(simplified(name), place)
        listed = icons_of(style)
        return [(places[simplified(name_of(style, icon))], icons[icon]) for icon in listed]
    by_name = {simplified(name): svg for name, svg in icons.items()}
    svgs = (icons.get(thing.icon) or by_name.get(simplified(thing.icon)) for thing in things)
    return [(place, svg) for place, svg in enumerate(svgs) if svg]


def draw_icon(svg: str) -> np.ndarray:
    """Premultiplied RGBA [96,96,4] uint8, drawn at twice the side, cropped to its ink, shrunk."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=2 * DRAWN_PX, height=2 * DRAWN_PX))
    image = Image.open(BytesIO(png)).convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()
    if box is None:
        return np.zeros((DRAWN_PX, DRAWN_PX, 4), np.uint8)
    # Sets leave different margins. After cropping, a size means the same in every style.
    ink = image.crop(box)
    side = max(ink.size)
    square = Image.new("RGBA", (side, side))
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    small = square.convert("RGBa").resize((DRAWN_PX, DRAWN_PX), Image.Resampling.LANCZOS)
    return np.asarray(small).copy()


def _draw_or_blank(svg: str) -> np.ndarray:
    """As `draw_icon`; blank if the SVG has no size, as in much clip art."""
    try:
        return draw_icon(svg)
    except ValueError:
        return np.zeros((DRAWN_PX, DRAWN_PX, 4), np.uint8)


def _shipped(things: list[Thing]) -> Drawings:
    """The drawings of the package's benchmark."""
    shipped = load().drawings
    there = [t for t in things if any((t.name, s.word) in shipped for s in STYLES)]
    pairs = [
        (place, number)
        for place, thing in enumerate(there)
        for number, style in enumerate(STYLES)
        if (thing.name, style.word) in shipped
    ]
    rgba = [shipped[there[thing].name, STYLES[style].word] for thing, style in pairs]
    thing, style = np.array(pairs).T
    return Drawings(np.stack(rgba), thing, style, there)
