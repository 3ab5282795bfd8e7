"""`gallery`: all embeddings in a folder, as a table and as one contact sheet."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw
from pydantic import BaseModel

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.data import images
from pseudoword.errors import ConceptError, PictureError, PseudowordError
from pseudoword.formats import folder_scan
from pseudoword.formats.keys import families_of
from pseudoword.formats.raw_content import NoEmbeddingError
from pseudoword.formats.token_picture import token_picture
from pseudoword.outputs import maker_of
from pseudoword.report import grids, picture_output
from pseudoword.report.fonts import fitted, font
from pseudoword.text import vector_sizes

CELL_PX, TEXT_PX, GAP_PX, COLUMNS = 200, 52, 12, 5
MAX_CELLS = 300
"""With more cells, the sheet would be taller than a WebP can be."""


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
    """number of words on the contact sheet; it has room for `MAX_CELLS`"""


class Cell(NamedTuple):
    """A cell of the contact sheet: a picture with two lines of text below it."""

    picture: Image.Image
    token: str
    sizes: str


def make_gallery(folder: Path, out: Path, overwrite: bool = False) -> Gallery:
    """Read every embedding under `folder` and draw a contact sheet; the public `gallery`."""
    if not folder.is_dir():
        raise ConceptError(f"{folder} is not a folder. Give a folder that holds embeddings.")
    maker = maker_of("gallery", folder)
    picture_output.check(out, maker, overwrite=overwrite)
    scan = folder_scan.scan_folder(folder, out)
    skipped: dict[str, str] = {}
    words: list[GalleryWord] = []
    cells: list[Cell] = []
    for path, content in _read_all(scan.files, skipped):
        preview = path if content.container in ("chunk", "pixels") else _preview(path)
        for concept in content.concepts:
            word = _describe(path, content, concept, preview)
            words.append(word)
            if len(cells) < MAX_CELLS:
                cells.append(
                    Cell(_cell_picture(concept, preview), word.token, vector_sizes(word.vectors))
                )
    if cells:
        picture_output.write(_sheet(cells), out, maker, overwrite=overwrite)
    return Gallery(
        folder=str(folder),
        words=words,
        skipped=skipped,
        left_out=scan.left_out,
        sheet=str(out) if cells else None,
        shown=len(cells),
    )


def _read_all(
    files: Iterable[Path], skipped: dict[str, str]
) -> Iterator[tuple[Path, formats.EmbeddingFile]]:
    """Read the embedding files. Puts those that cannot be read into `skipped`, with the reason."""
    second_files = set[Path]()  # of words that are kept in two files
    for path in files:
        if path in second_files:
            continue
        try:
            content = formats.read_file(path)
        except NoEmbeddingError:
            continue  # most pictures hold no word
        except PseudowordError as error:
            if path.suffix.lower() in folder_scan.ENDINGS:
                skipped[str(path)] = str(error)
            continue
        if content.second is not None:
            second_files.add(content.second)
        yield path, content


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
    """The preview of a file: a picture beside it, or the latest one in its run's folder."""
    for ending in folder_scan.PICTURES:
        for name in (f"{path.stem}.preview{ending}", f"{path.stem}{ending}"):
            if (path.parent / name).is_file():
                return path.parent / name
    previews = (path.parent / "previews").glob("*.png")
    return max(previews, key=_step_and_place, default=None)


def _step_and_place(path: Path) -> list[int]:
    """Sort key of previews: the latest step comes last, and of that step the first picture."""
    step, *rest = [int(digits) for digits in re.findall(r"\d+", path.stem)] or [0]
    return [step, *(-number for number in rest)]


def _cell_picture(concept: Concept, preview: Path | None) -> Image.Image:
    """The preview of a word, or else a picture of its token, in the size of a cell."""
    if preview is not None:
        with suppress(PictureError):
            return grids.in_square(images.open_picture(preview, needed_px=CELL_PX), CELL_PX)
    return grids.in_square(token_picture(concept), CELL_PX)


def _sheet(cells: Sequence[Cell]) -> Image.Image:
    """The contact sheet: cells in rows."""
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    pitch = CELL_PX + GAP_PX
    size = (columns * pitch + GAP_PX, rows * (pitch + TEXT_PX) + GAP_PX)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, cell in enumerate(cells):
        x = GAP_PX + i % columns * pitch
        y = GAP_PX + i // columns * (pitch + TEXT_PX)
        sheet.paste(cell.picture, (x, y))
        for below_px, text, px in ((4, cell.token, 15), (26, cell.sizes, 11)):
            letters = font(text, px)
            line = fitted(text, letters, CELL_PX)
            pen.text((x, y + CELL_PX + below_px), line, grids.INK, letters)
    return sheet
