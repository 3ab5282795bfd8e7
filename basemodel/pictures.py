"""Artwork: fetch the icon packages, check their licences, draw every icon once as RGBA pixels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image

from basemodel.checkpoint import write_whole
from basemodel.settings import Settings
from basemodel.world import STYLES, Style, Thing, extra_things, held_out_things, known_things
from pseudoword.groundtruth.artwork import load

DRAWN_PX = 96
"""Icons are kept at this side: larger than any use, so that composing only ever shrinks them."""

_OUTDOORS = {"building", "sky", "vehicle", "plant"}
_ALLOWED = {"Apache-2.0", "MIT", "CC-BY-4.0"}


@dataclass(frozen=True)
class Artwork:
    """All drawn icons, premultiplied [N,96,96,4] uint8; things and styles say what each is."""

    rgba: np.ndarray
    thing: np.ndarray
    """[N] index into `things`."""
    style: np.ndarray
    """[N] index into STYLES."""
    things: list[Thing]

    def index(self) -> dict[tuple[int, int], int]:
        """(thing, style) -> row of `rgba`."""
        pairs = zip(self.thing.tolist(), self.style.tolist(), strict=True)
        return {pair: row for row, pair in enumerate(pairs)}

    def only(self, keep: np.ndarray) -> Artwork:
        """The rows where keep [N] is true."""
        return Artwork(self.rgba[keep], self.thing[keep], self.style[keep], self.things)

    def trained(self) -> Artwork:
        """What the trained stages may see: no held-out name, no held-out style."""
        held_thing = np.array([t.held_out for t in self.things])
        held_style = np.array([s.held_out for s in STYLES])
        return self.only(~held_thing[self.thing] & ~held_style[self.style])

    def named(self) -> Artwork:
        """All but the extra names: what is asked about, and what the judge knows."""
        things = [t for t in self.things if not t.extra]  # extra ones come last
        keep = self.thing < len(things)
        return Artwork(self.rgba[keep], self.thing[keep], self.style[keep], things)


def _package(style: Style, folder: Path) -> Path:
    """The unpacked npm package of one set, fetched when it's not there yet."""
    target = folder / f"{style.package}-{style.version}"
    if not (target / "icons.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("npm is needed to fetch the icon packages; install Node.js first")
        wanted = f"@iconify-json/{style.package}@{style.version}"
        done = subprocess.run(
            [npm, "pack", wanted, "--silent", "--pack-destination", str(folder)],
            check=True,
            capture_output=True,
            text=True,
        )
        archive = folder / done.stdout.strip().splitlines()[-1]
        with tarfile.open(archive) as tar:
            tar.extractall(folder / f"{target.name}.part", filter="data")
        (folder / f"{target.name}.part" / "package").rename(target)
        shutil.rmtree(folder / f"{target.name}.part")
        archive.unlink()
    info = json.loads((target / "info.json").read_text(encoding="utf-8"))
    found = info["license"]["spdx"]
    if found not in _ALLOWED or found != style.licence:
        raise RuntimeError(
            f"{style.package} {style.version} says its licence is {found!r}, "
            f"expected {style.licence!r}: not using it"
        )
    return target


def _icons(folder: Path) -> dict[str, str]:
    """Icon name -> whole SVG text; aliases resolved; hyphenless names are found by `_plain`."""
    data: dict[str, Any] = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    side = data.get("width", 16)

    def svg(icon: dict[str, Any]) -> str:
        width, height = icon.get("width", side), icon.get("height", data.get("height", side))
        box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" '
            f'xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">'
            f"{icon['body']}</svg>"
        )

    found = {name: svg(icon) for name, icon in data["icons"].items()}
    for name, alias in data.get("aliases", {}).items():
        plain = not any(key in alias for key in ("rotate", "hFlip", "vFlip"))
        if plain and alias["parent"] in found:
            found.setdefault(name, found[alias["parent"]])
    return found


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name)


def _draw(svg: str) -> np.ndarray:
    """Premultiplied RGBA [96,96,4] uint8, drawn at twice the side, cropped to its ink, shrunk."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=2 * DRAWN_PX, height=2 * DRAWN_PX))
    image = Image.open(BytesIO(png)).convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()
    if box is None:
        return np.zeros((DRAWN_PX, DRAWN_PX, 4), np.uint8)
    # Sets leave different margins; after cropping, "size" means the same in every style.
    ink = image.crop(box)
    side = max(ink.size)
    square = Image.new("RGBA", (side, side))
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    small = square.convert("RGBa").resize((DRAWN_PX, DRAWN_PX), Image.Resampling.LANCZOS)
    return np.asarray(small).copy()


def draw_all(settings: Settings) -> Artwork:
    """Every wanted (thing, style), from `work/pictures.npz` when it's there."""
    things = known_things() + held_out_things() + extra_things()
    if settings.shipped_drawings:
        return _shipped(things)
    cache = settings.work / "pictures.npz"
    key = json.dumps([[t.icon for t in things], [s.version for s in STYLES], DRAWN_PX])
    if cache.exists():
        with np.load(cache) as held:
            if str(held["key"]) == key:
                return Artwork(held["rgba"], held["thing"], held["style"], things)
    svgs, thing_of, style_of = [], [], []
    for number, style in enumerate(STYLES):
        icons = _icons(_package(style, settings.work / "npm"))
        plain = {_plain(name): text for name, text in icons.items()}
        for place, thing in enumerate(things):
            text = icons.get(thing.icon) or plain.get(_plain(thing.icon))
            if text:
                svgs.append(text)
                thing_of.append(place)
                style_of.append(number)
    with ProcessPoolExecutor(settings.threads) as pool:
        rgba = np.stack(list(pool.map(_draw, svgs, chunksize=16)))
    drawn = rgba[..., 3].reshape(len(rgba), -1).mean(1) > 4
    # Some sets paint a sky behind a building: a full square would fight the asked background.
    corners = rgba[:, :: DRAWN_PX - 1, :: DRAWN_PX - 1, 3].reshape(len(rgba), 4).min(1) > 200
    outdoors = np.array([things[t].kind in _OUTDOORS or things[t].extra for t in thing_of])
    drawn &= ~(corners & outdoors)
    art = Artwork(rgba, np.array(thing_of), np.array(style_of), things).only(drawn)
    write_whole(
        cache,
        lambda part: np.savez(
            part, rgba=art.rgba, thing=art.thing, style=art.style, key=np.array(key)
        ),
    )
    return art


def _shipped(things: list[Thing]) -> Artwork:
    """The drawings of the package's benchmark."""
    shipped = load()
    there = [t for t in things if any((t.words, s.word) in shipped.drawings for s in STYLES)]
    pairs = [
        (place, number)
        for place, thing in enumerate(there)
        for number, style in enumerate(STYLES)
        if (thing.words, style.word) in shipped.drawings
    ]
    rgba = [shipped.drawings[there[thing].words, STYLES[style].word] for thing, style in pairs]
    thing, style = np.array(pairs).T
    return Artwork(np.stack(rgba), thing, style, there)
