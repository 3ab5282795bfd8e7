"""Bytes <-> `Concept`. What a file is, its content says; its name is never trusted."""

from pathlib import Path

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.files import write_whole
from pseudoword.formats import native

LARGEST_NBYTES = 256 * 1024 * 1024
"""No embedding is larger: refused before anything is allocated."""

CONCEPT_FILE = "concept.safetensors"


def read(path: Path, token: str | None = None) -> Concept:
    """Read a concept from a file, or from a run's folder.

    Args:
        path: the file, or a folder that holds `concept.safetensors`.
        token: name it this, whatever the file says.

    Raises:
        ConceptError: there is no such file, or it holds no concept.
    """
    if path.is_dir():
        if not (path / CONCEPT_FILE).is_file():
            raise ConceptError(
                f"{path} holds no {CONCEPT_FILE}. Give a run's folder, or the file itself."
            )
        path = path / CONCEPT_FILE
    try:
        nbytes = path.stat().st_size
        if nbytes > LARGEST_NBYTES:
            raise ConceptError(
                f"{path} has {nbytes / 1e6:.0f} MB; a concept has a few kilobytes. "
                "This looks like a model or a LoRA, not an embedding."
            )
        data = path.read_bytes()
    except OSError as error:
        raise ConceptError(f"{path} cannot be read: {error.strerror or error}") from error
    return native.read(data, str(path), token)


def is_concept(path: Path) -> bool:
    """Whether `path` names a file, or a folder with a concept in it."""
    return path.is_file() or (path / CONCEPT_FILE).is_file()


def write(concept: Concept, path: Path) -> None:
    """Write `concept` as the safetensors file that loads everywhere, whole or not at all."""
    write_whole(path, native.dump(concept))
