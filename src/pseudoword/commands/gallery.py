"""All embeddings in a folder, as a table and as one picture."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageDraw
from pydantic import BaseModel

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.data import images
from pseudoword.errors import ConceptError, PictureError, PseudowordError
from pseudoword.formats import word_files
from pseudoword.formats.keys import families_of
from pseudoword.formats.loose import NoWordError
from pseudoword.formats.writers import card
from pseudoword.outputs import maker_of
from pseudoword.report import charts
from pseudoword.report.fonts import LONGEST, Font, font

CELL_PX, TEXT_PX, GAP_PX, COLUMNS = 200, 52, 12, 5
MOST_CELLS = 300
"""A sheet of more would be higher than a WebP can be."""


class Entry(BaseModel):
    """One word in a folder."""

    file: str
    token: str
    families: list[str]
    vectors: dict[str, tuple[int, int]]
    """[vectors, width] per text encoder"""
    format: str
    preview: str | None


class Gallery(BaseModel):
    """The words in a folder."""

    folder: str
    words: list[Entry]
    skipped: dict[str, str]
    """file -> why it could not be read"""
    left_out: dict[str, str] = {}
    """file or folder -> why it was not looked at"""
    sheet: str | None
    """the contact sheet; None if there is nothing to show"""
    shown: int
    """how many of the words are on it; it has room for so many"""


def collect(folder: Path, out: Path, overwrite: bool = False) -> Gallery:
    """Read every embedding under `folder` and draw a contact sheet; the public `gallery`."""
    if not folder.is_dir():
        raise ConceptError(f"{folder} is no folder. Give one that holds embeddings.")
    maker = maker_of("gallery", folder)
    charts.check_sheet(out, maker, overwrite=overwrite)
    words: list[Entry] = []
    cells: list[tuple[Image.Image, str, str]] = []
    skipped: dict[str, str] = {}
    found, halves = word_files.find(folder, out), set[Path]()
    for path in found.files:
        if path in halves:
            continue
        try:
            content = formats.examine(path)
        except NoWordError:
            continue  # most pictures hold no word
        except PseudowordError as error:
            if path.suffix.lower() in word_files.ENDINGS:
                skipped[str(path)] = str(error)
            continue
        if content.second is not None:
            halves.add(content.second)
        preview = path if content.container in ("chunk", "pixels") else _preview(path)
        for word in content.concepts:
            entry = _entry(path, content, word, preview)
            words.append(entry)
            counts = ", ".join(f"{key} {n} x {width}" for key, (n, width) in entry.vectors.items())
            if len(cells) < MOST_CELLS:
                cells.append((_shown(word, preview), word.token, counts))
    if cells:
        charts.write_sheet(_sheet(cells), out, maker, overwrite=overwrite)
    sheet = str(out) if cells else None
    return Gallery(
        folder=str(folder),
        words=words,
        skipped=skipped,
        left_out=found.left_out,
        sheet=sheet,
        shown=len(cells),
    )


def _entry(path: Path, content: formats.Content, word: Concept, preview: Path | None) -> Entry:
    fits = families_of(word.widths)
    return Entry(
        file=str(path),
        token=word.token,
        families=[word.family] if word.family else list(fits),
        vectors={key: (len(rows), rows.shape[1]) for key, rows in word.vectors.items()},
        format=content.layout if content.container in ("safetensors", "torch") else "a1111 picture",
        preview=str(preview) if preview else None,
    )


def _preview(path: Path) -> Path | None:
    """The picture that belongs to a file: beside it, or the latest in its run's folder."""
    for ending in word_files.PICTURES:
        for name in (f"{path.stem}.preview{ending}", f"{path.stem}{ending}"):
            if (path.parent / name).is_file():
                return path.parent / name
    drawn = list((path.parent / "previews").glob("*.png"))
    return max(drawn, key=_numbers, default=None)


def _numbers(path: Path) -> list[int]:
    step, *rest = [int(digits) for digits in re.findall(r"\d+", path.stem)] or [0]
    return [step, *(-number for number in rest)]


def _shown(word: Concept, preview: Path | None) -> Image.Image:
    """The picture of a word, no larger than its cell."""
    if preview is not None:
        with suppress(PictureError):
            return charts.enlarge(images.open_picture(preview, enough=CELL_PX), CELL_PX)
    return charts.enlarge(card(word), CELL_PX)


def _sheet(cells: Sequence[tuple[Image.Image, str, str]]) -> Image.Image:
    """Pictures in rows, each with its token and what it holds below."""
    columns = min(COLUMNS, len(cells))
    lines = -(-len(cells) // columns)
    pitch = CELL_PX + GAP_PX
    size = (columns * pitch + GAP_PX, lines * (pitch + TEXT_PX) + GAP_PX)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, (picture, token, text) in enumerate(cells):
        x = GAP_PX + i % columns * pitch
        y = GAP_PX + i // columns * (pitch + TEXT_PX)
        sheet.paste(picture, (x, y))
        for below, said, px in ((4, token, 15), (26, text, 11)):
            letters = font(said, px)
            pen.text((x, y + CELL_PX + below), _cut(said, letters), charts.INK, letters)
    return sheet


def _cut(whole: str, font: Font) -> str:
    text = whole[:LONGEST]
    if text == whole and font.getlength(text) <= CELL_PX:
        return text
    while text and font.getlength(f"{text}…") > CELL_PX:
        text = text[:-1]
    return f"{text}…"
