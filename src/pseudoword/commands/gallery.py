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
from pseudoword.formats import folder_scan
from pseudoword.formats.keys import families_of
from pseudoword.formats.raw_content import NoWordError
from pseudoword.formats.token_picture import token_picture
from pseudoword.outputs import maker_of
from pseudoword.report import grids, picture_output
from pseudoword.report.fonts import fitted, font

CELL_PX, TEXT_PX, GAP_PX, COLUMNS = 200, 52, 12, 5
MAX_CELLS = 300
"""A sheet of more would be higher than a WebP can be."""


class GalleryWord(BaseModel):
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
    words: list[GalleryWord]
    skipped: dict[str, str]
    """file -> why it cannot be read"""
    left_out: dict[str, str] = {}
    """file or folder -> why it was not looked at"""
    sheet: str | None
    """the contact sheet; None if there is nothing to show"""
    shown: int
    """number of words on the contact sheet, which has room for so many only"""


def make_gallery(folder: Path, out: Path, overwrite: bool = False) -> Gallery:
    """Read every embedding under `folder` and draw a contact sheet; the public `gallery`."""
    if not folder.is_dir():
        raise ConceptError(f"{folder} is no folder. Give a folder that holds embeddings.")
    maker = maker_of("gallery", folder)
    picture_output.check(out, maker, overwrite=overwrite)
    words: list[GalleryWord] = []
    cells: list[tuple[Image.Image, str, str]] = []
    skipped: dict[str, str] = {}
    found = folder_scan.scan_folder(folder, out)
    second_files = set[Path]()  # of a word that is kept in two files
    for path in found.files:
        if path in second_files:
            continue
        try:
            content = formats.read_file(path)
        except NoWordError:
            continue  # most pictures hold no word
        except PseudowordError as error:
            if path.suffix.lower() in folder_scan.ENDINGS:
                skipped[str(path)] = str(error)
            continue
        if content.second is not None:
            second_files.add(content.second)
        preview = path if content.container in ("chunk", "pixels") else _preview(path)
        for concept in content.concepts:
            word = _describe(path, content, concept, preview)
            words.append(word)
            counts = ", ".join(f"{key} {n} x {width}" for key, (n, width) in word.vectors.items())
            if len(cells) < MAX_CELLS:
                cells.append((_cell_picture(concept, preview), word.token, counts))
    if cells:
        picture_output.write(_sheet(cells), out, maker, overwrite=overwrite)
    sheet = str(out) if cells else None
    return Gallery(
        folder=str(folder),
        words=words,
        skipped=skipped,
        left_out=found.left_out,
        sheet=sheet,
        shown=len(cells),
    )


def _describe(
    path: Path, content: formats.EmbeddingFile, concept: Concept, preview: Path | None
) -> GalleryWord:
    families = [concept.family] if concept.family else list(families_of(concept.widths))
    return GalleryWord(
        file=str(path),
        token=concept.token,
        families=families,
        vectors={key: (len(rows), rows.shape[1]) for key, rows in concept.vectors.items()},
        format=content.layout if content.container in ("safetensors", "torch") else "a1111 picture",
        preview=str(preview) if preview else None,
    )


def _preview(path: Path) -> Path | None:
    """The picture that belongs to a file: beside it, or the latest in its run's folder."""
    for ending in folder_scan.PICTURES:
        for name in (f"{path.stem}.preview{ending}", f"{path.stem}{ending}"):
            if (path.parent / name).is_file():
                return path.parent / name
    previews = (path.parent / "previews").glob("*.png")
    return max(previews, key=_step_and_place, default=None)


def _step_and_place(path: Path) -> list[int]:
    """By which previews are sorted: the latest step, and of that the first picture."""
    step, *rest = [int(digits) for digits in re.findall(r"\d+", path.stem)] or [0]
    return [step, *(-number for number in rest)]


def _cell_picture(concept: Concept, preview: Path | None) -> Image.Image:
    """The preview of a word, or else its card, no larger than a cell."""
    if preview is not None:
        with suppress(PictureError):
            return grids.in_square(images.open_picture(preview, needed_px=CELL_PX), CELL_PX)
    return grids.in_square(token_picture(concept), CELL_PX)


def _sheet(cells: Sequence[tuple[Image.Image, str, str]]) -> Image.Image:
    """Pictures in rows, each with its token and its numbers of vectors below."""
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
        for below, line, px in ((4, token, 15), (26, text, 11)):
            letters = font(line, px)
            pen.text((x, y + CELL_PX + below), fitted(line, letters, CELL_PX), grids.INK, letters)
    return sheet
