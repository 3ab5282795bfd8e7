"""`gallery`: all embeddings in a folder, as a table and as one contact sheet."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, PseudowordError
from pseudoword.formats import folder_scan
from pseudoword.formats.keys import families_of
from pseudoword.formats.raw_content import NoEmbeddingError
from pseudoword.report import picture_output, word_sheet
from pseudoword.report.word_sheet import Cell


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
    """number of words on the contact sheet, which has room for 300"""


def make_gallery(folder: Path, out: Path, *, overwrite: bool) -> Gallery:
    """Read every embedding under `folder` and draw a contact sheet; the public `gallery`."""
    if not folder.is_dir():
        raise ConceptError(f"{folder} is not a folder. Give a folder that holds embeddings.")
    maker = word_sheet.maker(folder, out)
    picture_output.check(out, maker, overwrite=overwrite)
    files, left_out = folder_scan.scan_folder(folder, out)
    skipped: dict[str, str] = {}
    words: list[GalleryWord] = []
    cells: list[Cell] = []
    for path, content in _read_all(files, skipped):
        for concept in content.concepts:
            preview = path if content.is_picture else word_sheet.preview_of(path, concept.token)
            word = _describe(path, content, concept, preview)
            words.append(word)
            if len(cells) < word_sheet.MAX_CELLS:
                cells.append(word_sheet.cell(concept, preview))
    if cells:
        picture_output.write(word_sheet.sheet(cells), out, maker, overwrite=overwrite)
    return Gallery(
        folder=str(folder),
        words=words,
        skipped=skipped,
        left_out=left_out,
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
        vectors=concept.sizes,
        format="a1111 picture" if content.is_picture else content.layout,
        preview=str(preview) if preview else None,
    )
