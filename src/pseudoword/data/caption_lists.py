"""Captions in a list beside the pictures: the hub's data sets have `metadata.jsonl` or
`metadata.csv`, invoke-training has `data.jsonl`, and kohya's scripts have `meta_cap.json`.

A line is `{"file_name": "red/cat.png", "text": "asleep on a sofa"}`, or has these values in columns
of a table; the name is a path from the folder of the list. kohya's is one object, with names that
may lack the suffix: `{"cat": {"caption": "asleep", "tags": "sofa, red"}}`.
"""

import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from pseudoword.data.picture_files import CAPTION_LISTS
from pseudoword.errors import PictureError
from pseudoword.files import read_regular
from pseudoword.text import brief

LARGEST_NBYTES = 16_000_000
"""A larger list is not read."""

THEIRS = "image_path"
"""What kohya's scripts call the picture in lists of lines."""

PICTURES = ("file_name", "image", THEIRS)
"""What lists call the picture: the hub's data sets, invoke-training and kohya's scripts."""

TEXTS = ("text", "caption", "prompt")
"""What lists call a caption; the first one that a line has is read."""


def listed_caption(picture: Path) -> str | None:
    """The caption of a picture in a list in its folder, or else in the folder above; None if no
    list names it.

    A list in the folder above that cannot be read is none: it may be of something else.

    Raises:
        PictureError: a list in its folder is damaged; the message names it and its line.
    """
    names, folder = _names(picture), _folder_of(picture)
    for place in (folder, folder.parent):
        for file in (place / one for one in CAPTION_LISTS):
            try:
                found = _current(file)
            except OSError:
                continue
            except PictureError:
                if place == folder:
                    raise
                continue
            for name in names:
                if name in found:
                    return found[name]
    return None


def lists_without_effect(pictures: Sequence[Path]) -> list[Path]:
    """The lists in the pictures' folders that give none of the pictures a caption.

    Raises:
        PictureError: a list is damaged; the message names it and its line.
    """
    names = {name for picture in pictures for name in _names(picture)}
    places = sorted({_folder_of(picture) for picture in pictures})
    lists = [place / one for place in places for one in CAPTION_LISTS if (place / one).is_file()]
    return [file for file in lists if names.isdisjoint(_current(file))]


def _current(file: Path) -> Mapping[str, str]:
    """Picture -> caption, as the list is now.

    Raises:
        OSError: there is no such file.
        PictureError: it is damaged; the message names it and its line.
    """
    changed = file.stat()
    return _read(file, changed.st_mtime_ns, changed.st_size)


@lru_cache(maxsize=8)
def _read(file: Path, _changed: int, _nbytes: int) -> Mapping[str, str]:
    """Picture -> caption, of the lines that have both. A list is read again when it has changed."""
    found: dict[str, str] = {}
    moved: dict[str, str] = {}
    data = read_regular(file, LARGEST_NBYTES, PictureError).removeprefix(b"\xef\xbb\xbf")
    for row in _ROWS[file.suffix](data, file):
        name, text = _first(row, PICTURES), _first(row, TEXTS)
        if THEIRS in row:
            text = _tagged(text, row.get("tags"))
        if name is None or text is None:
            continue
        text = text.encode(errors="replace").decode()
        found[_known_as(file.parent / name)] = text
        for place in _from_elsewhere(name, file.parent) if THEIRS in row else ():
            moved.setdefault(_known_as(place), text)
    return moved | found


def _from_elsewhere(name: str, folder: Path) -> list[Path]:
    """Where a picture may be that a list of kohya's scripts in `folder` names by a path from the
    place where they ran, perhaps on Windows: its own folder has the same name here."""
    *_, inner, own = ("", "", *re.split(r"[/\\]", name))
    return [place / inner / own for place in (folder.parent, folder)] if inner else []


def _tagged(caption: str | None, tags: object) -> str | None:
    """A caption of kohya's scripts, each line of it with the tags behind it."""
    if not isinstance(tags, str) or not tags.strip():
        return caption
    tags = " ".join(tags.split())
    return "\n".join(f"{line}, {tags}" if line else tags for line in (caption or "").split("\n"))


def _first(row: Mapping[str, object], names: Sequence[str]) -> str | None:
    """The value of the first of these names that has a text."""
    return next((text for name in names if isinstance(text := row.get(name), str)), None)


def _objects(data: bytes, file: Path) -> Iterator[Mapping[str, object]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError) as error:
            raise PictureError(
                f"{file}, line {number}: this is no JSON in UTF-8, of which each line of a list of "
                "captions is one. Correct it, or give the list another name."
            ) from error
        if isinstance(row, dict):
            yield row


def _object(data: bytes, file: Path) -> Iterator[Mapping[str, object]]:
    try:
        found = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise PictureError(
            f"{file}: this is no JSON in UTF-8 ({brief(str(error))}). Correct it, or give the list "
            "another name."
        ) from error
    for name, row in found.items() if isinstance(found, dict) else ():
        if isinstance(row, dict):
            yield {**row, THEIRS: name}


def _table(data: bytes, file: Path) -> Iterator[Mapping[str, object]]:
    try:
        yield from csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise PictureError(
            f"{file}: this is no table of captions, with commas between its columns, in UTF-8 "
            f"({error}). Correct it, or give the list another name."
        ) from error


_ROWS = {".jsonl": _objects, ".json": _object, ".csv": _table}
"""Suffix of a list -> what is in it, a picture at a time."""


def _folder_of(picture: Path) -> Path:
    """Of a link, its own folder."""
    return Path(os.path.abspath(picture)).parent  # noqa: PTH100


def _names(picture: Path) -> tuple[str, str]:
    """What a picture may be called in a list: its path, or its path without the suffix."""
    return _known_as(picture), _known_as(picture.with_suffix(""))


def _known_as(picture: Path) -> str:
    """What tells a picture from others, whichever way its path is written.

    Lists name links, too, not their targets. Disks of macOS, and archives of them, have letters
    with accents in two parts, which lists have in one; on Windows case makes no difference.
    """
    path = os.path.abspath(picture)  # noqa: PTH100
    return os.path.normcase(unicodedata.normalize("NFC", path))
