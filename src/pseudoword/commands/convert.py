"""`convert`: write the words of an embedding file in another format."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.data import images
from pseudoword.errors import SettingsError
from pseudoword.files import file_stem
from pseudoword.formats import sources
from pseudoword.formats.layers import adapted
from pseudoword.outputs import check_free, has_content, next_free, write_new
from pseudoword.progress import Progress
from pseudoword.text import brief

FORMAT_OF_ENDING = {
    ".safetensors": "native",
    ".pt": "a1111",
    ".bin": "diffusers-bin",
    ".png": "a1111-png",
    ".webp": "a1111-webp",
}
"""Suffix of the output -> format to write, when no format is named."""

PICTURE_ENDINGS = (".png", ".webp")
"""Suffixes of the formats that are pictures."""


def convert_file(
    source: str | Path,
    out: Path,
    name: str | None,
    token: str | None,
    picture: Path | None,
    progress: Progress,
    *,
    into_folder: bool = False,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write the words of `source` in another format; the public `convert`.

    `into_folder` says that `out` is a folder, which otherwise is guessed where it is not there.
    """
    into_folder = into_folder or out.is_dir() or not out.suffix
    kind = _format(out, name, into_folder)
    if picture is not None and formats.WRITERS[kind].ending not in PICTURE_ENDINGS:
        raise SettingsError(
            f"--picture {brief(str(picture))} has no effect with the format {kind}, which is not a "
            "picture"
        )
    files = formats.read_files(sources.locate(source))
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
        first = out / f"{file_stem(concept.token)}{formats.WRITERS[kind].ending}"
        path = _free_path(first, parts, written, overwrite)
        written += _write(path, parts, overwrite)
    return tuple(written)


def _adapted(concept: Concept, kind: str, progress: Progress) -> Concept:
    """The word as the format can hold it; what is lost is told."""
    fitting, told = adapted(concept, kind)
    if told:
        progress.note(told)
    return fitting


def _format(out: Path, name: str | None, into_folder: bool) -> str:
    """The format to write: the named one, or the one for the output's suffix."""
    if name is None:
        if into_folder:
            return "native"
        if out.suffix.lower() not in FORMAT_OF_ENDING:
            raise SettingsError(
                f"{out}: give a file that ends in {', '.join(FORMAT_OF_ENDING)}, a folder, or "
                "--format"
            )
        return FORMAT_OF_ENDING[out.suffix.lower()]
    if name not in formats.WRITERS:
        raise SettingsError(f"--format {brief(name)}: choose one of {', '.join(formats.WRITERS)}")
    ending = formats.WRITERS[name].ending
    if not into_folder and out.suffix.lower() != ending:
        raise SettingsError(f"{out}: --format {name} makes files that end in {ending}")
    return name


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

    def occupied(path: Path) -> list[Path]:
        return [
            file
            for file, data in formats.part_files(path, parts).items()
            if file in written or not (overwrite or has_content(file, data))
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
