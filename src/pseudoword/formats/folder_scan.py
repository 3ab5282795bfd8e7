"""Which files of a folder may be embeddings, which are left out, and why."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pseudoword import formats

PICTURES = (".png", ".webp", ".jpg", ".jpeg", ".avif")
ENDINGS = {".safetensors", ".pt", ".bin", ".png", ".webp", ".avif"}
"""Usual endings of embedding files; files with other endings are examined too."""

_COPY = re.compile(r"best(-\d+)?\.safetensors|(words|previews)/.*|(checkpoint|finished)-\d+\.pt")
"""Files in a run's folder that are earlier copies of its concept."""


def scan_folder(folder: Path, exclude: Path) -> tuple[list[Path], dict[str, str]]:
    """Find the files that may be embeddings in `folder` and below, following links.

    Args:
        folder: where to look.
        exclude: a file to ignore.

    Returns:
        The files, in order; and file or folder -> why it was not read.
    """
    files: list[Path] = []
    left_out: dict[str, str] = {}
    runs: set[Path] = set()
    for place, names in _walk(folder, left_out):
        if {"log.jsonl", "config.toml"} <= set(names):
            runs.add(place)
        for name in names:
            path = place / name
            if path == exclude:
                continue
            try:
                reason = _why_left_out(path, set(names), runs)
            except OSError as error:  # such as a link into a folder of somebody else's
                reason = f"cannot be read: {error.strerror or error}"
            if reason is None:
                files.append(path)
            elif reason:
                left_out[str(path)] = reason
    for run in runs:
        if not (run / formats.CONCEPT_FILE).is_file():
            left_out[str(run)] = "a run that has not ended; its word so far is not shown"
    return files, left_out


def _walk(folder: Path, left_out: dict[str, str]) -> Iterator[tuple[Path, list[str]]]:
    """Each folder with the names of its files; each only once, also if links form a circle."""

    def unreadable(error: OSError) -> None:
        left_out[str(error.filename)] = f"cannot be read: {error.strerror or error}"

    visited: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(place), sorted(names)


def _why_left_out(path: Path, siblings: set[str], runs: set[Path]) -> str | None:
    """Why a file is left out; `""` if nobody expects an embedding in it; None if it may be one."""
    likely = path.suffix.lower() in ENDINGS
    picture = path.suffix.lower() in PICTURES
    if _is_copy(path, runs) or (picture and _shows_an_embedding(path, siblings)):
        return ""
    if path.name.startswith("."):
        return "hidden" if likely and not picture else ""
    if not path.is_file():
        return "no regular file" if likely else ""
    if path.stat().st_size == 0:
        return "empty" if likely else ""
    if path.suffix.lower() == ".jxl":
        return "a JPEG XL picture, which cannot be read; there may be a word in it"
    return None if likely or _begins_like_an_embedding(path) else ""


def _is_copy(path: Path, runs: set[Path]) -> bool:
    """Whether a run's folder has this file as an earlier copy of its concept."""
    run = next((place for place in path.parents if place in runs), None)
    return run is not None and _COPY.fullmatch(path.relative_to(run).as_posix()) is not None


def _shows_an_embedding(picture: Path, siblings: set[str]) -> bool:
    """Whether this is `x.preview.png` with an embedding `x` beside it."""
    if not picture.stem.endswith(".preview"):
        return False
    stem = picture.stem.removesuffix(".preview")
    return not siblings.isdisjoint(f"{stem}{ending}" for ending in ENDINGS)


def _begins_like_an_embedding(path: Path) -> bool:
    """Whether the first bytes are those of an embedding file, whatever its name is."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return any(container.matches(head) for container in formats.CONTAINERS)
