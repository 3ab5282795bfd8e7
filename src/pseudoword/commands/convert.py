"""`convert`: write the words of an embedding file in another format."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pseudoword import formats, lookup
from pseudoword.concept import Concept
from pseudoword.config.written_files import ENDINGS, embedding_format
from pseudoword.data import images
from pseudoword.files import file_stem
from pseudoword.formats import sources
from pseudoword.formats.layers import adapted
from pseudoword.outputs import check_free, has_content, next_free, write_new
from pseudoword.progress import Progress


def convert_file(
    source: str | Path,
    out: Path,
    name: str | None,
    token: str | None,
    picture: Path | None,
    progress: Progress,
    *,
    into_folder: bool,
    overwrite: bool,
) -> tuple[Path, ...]:
    """Write the words of `source` in another format; the public `convert`.

    `into_folder` says that `out` is a folder.
    """
    kind = embedding_format(out, name, picture, into_folder=into_folder)
    file, own_token = lookup.split_token(source, "IN")
    token = own_token if token is None else token
    files = formats.read_files(sources.locate(file))
    cover = _cover(files[0], picture)
    if not into_folder:
        concept = _adapted(formats.select_concept(files, token), kind, progress)
        return _write(out, formats.encode(concept, kind, cover), overwrite)
    every = [concept for file in files for concept in file.concepts]
    chosen = every if token is None else [formats.select_concept(files, token)]
    concepts = [_adapted(one, kind, progress) for one in chosen]
    encoded = [formats.encode(one, kind, cover) for one in concepts]  # all, or none is written
    written: list[Path] = []
    for concept, parts in zip(concepts, encoded, strict=True):
        first = out / f"{file_stem(concept.token)}{ENDINGS[kind]}"
        path = _free_path(first, parts, written, overwrite)
        written += _write(path, parts, overwrite)
    return tuple(written)


def _adapted(concept: Concept, kind: str, progress: Progress) -> Concept:
    """The word as the format can hold it; what is lost is told."""
    fitting, told = adapted(concept, kind)
    if told:
        progress.note(told)
    return fitting


def _cover(content: formats.EmbeddingFile, picture: Path | None) -> Image.Image | None:
    """The picture for picture formats: the given one, or the one that holds the word."""
    if picture is not None:
        return images.open_picture(picture)
    if content.container == "chunk":
        return images.open_picture(content.path)
    return None


def _free_path(
    first: Path, parts: formats.FileParts, written: Sequence[Path], overwrite: bool
) -> Path:
    """The first of `NAME`, `NAME-2` … where all parts can be written, or are there already."""
    taken = {str(file).casefold() for file in written}  # where case makes no other file, too

    def occupied(path: Path) -> list[Path]:
        return [
            file
            for file, data in formats.part_files(path, parts).items()
            if str(file).casefold() in taken or not (overwrite or has_content(file, data))
        ]

    return next_free(first, occupied)


def _write(path: Path, parts: formats.FileParts, overwrite: bool) -> tuple[Path, ...]:
    """Write all parts; or none, if one of them would replace another file."""
    files = formats.part_files(path, parts)
    check_free(
        [file for file, data in files.items() if not has_content(file, data)], overwrite=overwrite
    )
    for file, data in files.items():
        write_new(file, data, overwrite=overwrite)
    return tuple(files)
