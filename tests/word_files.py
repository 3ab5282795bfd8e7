"""Words in files of every format."""

from pathlib import Path

from PIL import Image

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.formats import native


def write_word(concept: Concept, path: Path) -> None:
    """Write `concept` to `path` in our own format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(native.dump(concept))


def write_as(
    concept: Concept, path: Path, name: str, picture: Image.Image | None = None
) -> tuple[Path, ...]:
    """Write `concept` to `path` in the format `name`; the files, of which some formats need two."""
    files = formats.part_files(path, formats.encode(concept, name, picture))
    path.parent.mkdir(parents=True, exist_ok=True)
    for part, data in files.items():
        part.write_bytes(data)
    return tuple(files)
