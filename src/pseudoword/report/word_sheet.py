"""The contact sheet of words: a picture of each, its token, and the sizes of its vectors."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.data import images
from pseudoword.errors import PictureError, PseudowordError
from pseudoword.formats import folder_scan
from pseudoword.formats.token_picture import token_picture
from pseudoword.outputs import maker_of
from pseudoword.placeholders import split
from pseudoword.report import grids
from pseudoword.report.fonts import fitted, font
from pseudoword.text import vector_sizes

FILE = "gallery.png"
"""The name of the sheet in a folder of words."""

MAKER = "gallery"
"""The command whose sheets these are."""

CELL_PX, TEXT_PX, GAP_PX, COLUMNS = 200, 52, 12, 5
MAX_CELLS = 300
"""With more cells, the sheet would be taller than a WebP can be."""


class Cell(NamedTuple):
    """A cell of the contact sheet: a picture with two lines of text below it."""

    picture: Image.Image
    token: str
    sizes: str


def maker(folder: Path, sheet: Path) -> str:
    """Who makes the sheet of the words in `folder`.

    In this folder it is any gallery, as folders are renamed and moved; elsewhere the one of this
    folder only, so that the sheet of another one is not replaced.
    """
    return (
        MAKER
        if sheet.resolve() == (folder / FILE).resolve()
        else maker_of(MAKER, sheet.parent, folder)
    )


def cell(concept: Concept, preview: Path | None) -> Cell:
    """The cell of a word; without a preview, it shows a picture of the token."""
    return Cell(_picture(concept, preview), concept.token, vector_sizes(concept.sizes))


def preview_of(path: Path, token: str) -> Path | None:
    """The preview of a word's file: a picture beside it, or the latest one in its run's folder.

    Where a run learns several words, it is one whose prompt has `token` in it, if there is any.
    """
    for ending in folder_scan.PICTURES:
        for name in (f"{path.stem}.preview{ending}", f"{path.stem}{ending}"):
            if (path.parent / name).is_file():
                return path.parent / name
    previews = [*(path.parent / "previews").glob("[!.]*.png")]
    with_token = previews_with(path.parent, token)
    own = [one for one in previews if -_step_and_place(one)[-1] in with_token]
    return max(own or previews, key=_step_and_place, default=None)


def previews_with(run: Path, token: str) -> set[int]:
    """Which previews of a run show the word `token`, counted from 1; none if this is not known."""
    with suppress(PseudowordError):
        config = TrainConfig.gather(run / "config.toml")
        prompts = [line.prompt.replace("[name]", config.token) for line in config.preview]
        return {n for n, text in enumerate(prompts, 1) if token in split(text, config.tokens)[1::2]}
    return set()


def _step_and_place(path: Path) -> list[int]:
    """Sort key of previews: the latest step comes last, and of that step the first picture."""
    step, *rest = [int(digits) for digits in re.findall(r"\d+", path.stem)] or [0]
    return [step, *(-number for number in rest)]


def _picture(concept: Concept, preview: Path | None) -> Image.Image:
    """The preview of a word, or else a picture of its token, in the size of a cell."""
    if preview is not None:
        with suppress(PictureError):
            return grids.in_square(images.open_picture(preview, needed_px=CELL_PX), CELL_PX)
    return grids.in_square(token_picture(concept), CELL_PX)


def sheet(cells: Sequence[Cell]) -> Image.Image:
    """The contact sheet: cells in rows."""
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    pitch = CELL_PX + GAP_PX
    size = (columns * pitch + GAP_PX, rows * (pitch + TEXT_PX) + GAP_PX)
    drawn = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(drawn)
    for i, cell in enumerate(cells):
        x = GAP_PX + i % columns * pitch
        y = GAP_PX + i // columns * (pitch + TEXT_PX)
        drawn.paste(cell.picture, (x, y))
        for below_px, text, px in ((4, cell.token, 15), (26, cell.sizes, 11)):
            letters = font(text, px)
            line = fitted(text, letters, CELL_PX)
            pen.text((x, y + CELL_PX + below_px), line, grids.INK, letters)
    return drawn
