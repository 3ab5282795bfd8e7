"""Which files of a folder may hold words, and which are left out, and why."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pseudoword import formats

PICTURES = (".png", ".webp", ".jpg", ".jpeg", ".avif")
ENDINGS = {".safetensors", ".pt", ".bin", ".png", ".webp", ".avif"}
"""What embeddings are called; files with other endings are looked at too, and taken if they are."""

_COPY = re.compile(r"best\.safetensors|(words|previews)/.*|(checkpoint|finished)-\d+\.pt")
"""What is in a run's folder beside the word: earlier copies of it, in one form or another."""


@dataclass
class FolderFiles:
    """The files of a folder."""

    files: list[Path] = field(default_factory=list)
    """what may hold a word, in order"""
    left_out: dict[str, str] = field(default_factory=dict)
    """file or folder -> why nothing in it was looked at"""


def scan_folder(folder: Path, exclude: Path) -> FolderFiles:
    """Look through `folder` and all that is in it, also behind links; `exclude` is passed over."""
    found = FolderFiles()
    runs: set[Path] = set()
    for place, names in _walk(folder, found):
        if {"log.jsonl", "config.toml"} <= set(names):
            runs.add(place)
        for name in names:
            path = place / name
            reason = _left_out(path, exclude, set(names), runs)
            if reason is None:
                found.files.append(path)
            elif reason:
                found.left_out[str(path)] = reason
    for run in runs:
        if not (run / formats.CONCEPT_FILE).is_file():
            found.left_out[str(run)] = "a run that has not ended; its word so far is not shown"
    return found


def _walk(folder: Path, found: FolderFiles) -> Iterator[tuple[Path, list[str]]]:
    """Each folder with the names of its files; none twice, so that links in a ring have an end."""

    def unreadable(error: OSError) -> None:
        found.left_out[str(error.filename)] = f"cannot be read: {error.strerror or error}"

    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in [name for name in folders if name.startswith(".")]:
            folders.remove(name)
        folders.sort()
        yield Path(place), sorted(names)


def _left_out(path: Path, exclude: Path, beside: set[str], runs: set[Path]) -> str | None:
    """Why a file is not looked at; nothing to say if nobody expects a word in it; None if it is."""
    likely = path.suffix.lower() in ENDINGS
    picture = path.suffix.lower() in PICTURES
    if path == exclude:
        return ""
    run = next((place for place in path.parents if place in runs), None)
    if run is not None and _COPY.fullmatch(path.relative_to(run).as_posix()):
        return ""
    if (
        picture
        and path.stem.endswith(".preview")
        and not beside.isdisjoint(_embeddings_shown_by(path))
    ):
        return ""  # the picture of a word that is listed
    if path.name.startswith("."):
        return "hidden" if likely and not picture else ""
    if not path.is_file():
        return "no regular file" if likely else ""
    if path.stat().st_size == 0:
        return "empty" if likely else ""
    if path.suffix.lower() == ".jxl":
        return "a JPEG XL picture, which cannot be read here; there may be a word in it"
    return None if likely or _begins_like_an_embedding(path) else ""


def _begins_like_an_embedding(path: Path) -> bool:
    """Whether a file starts as embeddings do, whatever it is called."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return any(container.matches(head) for container in formats.CONTAINERS.values())


def _embeddings_shown_by(preview: Path) -> set[str]:
    """The files that a preview may belong to."""
    word = preview.stem.removesuffix(".preview")
    return {f"{word}{ending}" for ending in ENDINGS}
