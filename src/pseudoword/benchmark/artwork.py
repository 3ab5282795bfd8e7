"""Drawings that the bundled base model was *not* trained on, and some that it was trained on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent.parent / "bundled" / "groundtruth"

INDEX = "index.json"


@dataclass(frozen=True)
class Thing:
    """A name that has drawings."""

    name: str
    """what captions call it"""
    init_word: str
    """the known word that learning begins from"""
    held_out: bool
    """whether the base model has never seen it"""


@dataclass(frozen=True)
class Artwork:
    """Drawings by (thing's name, style), each `[S, S, 4]` uint8 premultiplied RGBA."""

    things: Sequence[Thing]
    styles: Sequence[str]
    """words of the styles that the base model knows"""
    new_style: str
    """a style that the base model has never seen"""
    drawings: Mapping[tuple[str, str], np.ndarray]

    @property
    def held_out(self) -> list[Thing]:
        """Things that the base model has never seen."""
        return [thing for thing in self.things if thing.held_out]

    @property
    def known(self) -> list[Thing]:
        """Things that the base model draws by name."""
        return [thing for thing in self.things if not thing.held_out]

    def styles_of(self, thing: Thing) -> list[str]:
        """The known styles that `thing` is drawn in."""
        return [style for style in self.styles if (thing.name, style) in self.drawings]


def save(folder: Path, art: Artwork, effort: int = 6) -> None:
    """Write an index, and one lossless sheet for each style.

    Args:
        folder: where the files go; it is made if it is not there.
        art: what is written.
        effort: 0 to 6; more takes longer and makes smaller files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {}
    for style in (*art.styles, art.new_style):
        names = [t.name for t in art.things if (t.name, style) in art.drawings]
        column = np.concatenate([art.drawings[name, style] for name in names], axis=0)
        # Stored as plain RGBA: premultiplied colours are only valid under their own alpha.
        Image.fromarray(column, "RGBa").convert("RGBA").save(
            folder / f"{style}.webp", lossless=True, quality=100 if effort else 0, method=effort
        )
        sheets[style] = names
    index = {
        "held_out": {thing.name: thing.init_word for thing in art.held_out},
        "known": {thing.name: thing.init_word for thing in art.known},
        "new_style": art.new_style,
        "sheets": sheets,
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


@cache
def load(folder: Path = FOLDER) -> Artwork:
    """Read what `save` wrote."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    drawings = {}
    for style, names in index["sheets"].items():
        with Image.open(folder / f"{style}.webp") as sheet:
            pixels = np.asarray(sheet.convert("RGBA").convert("RGBa"))
        for name, drawing in zip(names, np.split(pixels, len(names)), strict=True):
            drawings[name, style] = drawing
    return Artwork(
        things=[
            Thing(name, init_word, held_out=part == "held_out")
            for part in ("held_out", "known")
            for name, init_word in index[part].items()
        ],
        styles=[style for style in index["sheets"] if style != index["new_style"]],
        new_style=index["new_style"],
        drawings=drawings,
    )
