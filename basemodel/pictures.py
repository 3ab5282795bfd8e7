"""Artwork: fetch the icon packages, check their licences, draw every icon once as RGBA pixels."""

from __future__ import annotations

import json
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
from basemodel.world import (
    STYLES,
    Style,
    Thing,
    all_things,
    icons_of,
    name_of,
    plain,
)
from pseudoword.benchmark.artwork import load

DRAWN_PX = 96
"""Icons are kept at this side: larger than any use, so that composing only ever shrinks them."""

_OUTDOORS = {"building", "sky", "vehicle", "plant"}
_ALLOWED = {"Apache-2.0", "MIT", "CC-BY-3.0", "CC-BY-4.0"}


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
        """All but the extra names and styles: what is asked about, and what the judge knows."""
        things = [t for t in self.things if not t.extra]  # extra ones come last
        extra_style = np.array([s.extra for s in STYLES])
        keep = (self.thing < len(things)) & ~extra_style[self.style]
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


def _clip_art(style: Style, folder: Path) -> Path:
    """The drawings of Debian's package, fetched when they're not there yet."""
    target = folder / f"{style.package}-{style.version}"
    if not target.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise RuntimeError(
                f"Debian's {style.package} {style.version} is needed for its clip art: unpack it "
                f"to {target}, or run this where there is apt-get"
            )
        folder.mkdir(parents=True, exist_ok=True)
        wanted = f"{style.package}={style.version}"
        subprocess.run(["apt-get", "download", wanted], cwd=folder, check=True)
        (archive,) = folder.glob(f"{style.package}_*.deb")
        part = target.with_name(f"{target.name}.part")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(part)], check=True)
        part.rename(target)
        archive.unlink()
    return target / "usr" / "share" / "openclipart" / "svg"


def _svgs(style: Style, folder: Path) -> dict[str, str]:
    """Icon name -> whole SVG text, of a set that is fetched when it's not there yet."""
    if style.word != "clipart":
        return _icons(_package(style, folder))
    drawings = _clip_art(style, folder)
    return {
        icon: (drawings / f"{icon}.svg").read_text(encoding="utf-8", errors="ignore")
        for icon in icons_of(style)
    }


def _icons(folder: Path) -> dict[str, str]:
    """Icon name -> whole SVG text; aliases resolved; hyphenless names are found by `plain`."""
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


def _draw_if_sized(svg: str) -> np.ndarray:
    """As `_draw`; blank, so that it's left out, where an SVG says no size: much clip art."""
    try:
        return _draw(svg)
    except ValueError:
        return np.zeros((DRAWN_PX, DRAWN_PX, 4), np.uint8)


def _wanted(style: Style, svgs: dict[str, str], things: list[Thing]) -> list[tuple[int, str]]:
    """(place in things, SVG) of all that the recipe uses of a set: of an extra one what is listed,
    of another every thing that it draws."""
    if style.extra:
        by_name: dict[str, int] = {}
        for place, thing in enumerate(things):
            for spelt in (thing.icon, thing.words) if not thing.held_out else ():
                by_name.setdefault(plain(spelt), place)
        return [(by_name[plain(name_of(style, icon))], svgs[icon]) for icon in icons_of(style)]
    by_plain = {plain(name): text for name, text in svgs.items()}
    texts = (svgs.get(thing.icon) or by_plain.get(plain(thing.icon)) for thing in things)
    return [(place, text) for place, text in enumerate(texts) if text]


def draw_all(settings: Settings) -> Artwork:
    """Every wanted (thing, style), from `work/pictures.npz` when it's there."""
    things = all_things()
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
        for place, text in _wanted(style, _svgs(style, settings.work / "npm"), things):
            svgs.append(text)
            thing_of.append(place)
            style_of.append(number)
    with ProcessPoolExecutor(settings.threads) as pool:
        rgba = np.stack(list(pool.map(_draw_if_sized, svgs, chunksize=16)))
    drawn = rgba[..., 3].reshape(len(rgba), -1).mean(1) > 4
    # Some sets paint a sky behind a building: a full square would fight the asked background.
    corners = rgba[:, :: DRAWN_PX - 1, :: DRAWN_PX - 1, 3].reshape(len(rgba), 4).min(1) > 200
    outdoors = np.array([things[t].kind in _OUTDOORS or things[t].extra for t in thing_of])
    recipe_styles = np.array([not STYLES[s].extra for s in style_of])
    drawn &= ~(corners & outdoors & recipe_styles)
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
