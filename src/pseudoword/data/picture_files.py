"""Which files are pictures, and which stand beside one: its mask and its caption, told by names.

What is found and not taken is said: nothing of a folder is left out in silence.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pseudoword.errors import PictureError

SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".pnm", ".ppm", ".pgm", ".pbm", ".pfm", ".avif", ".avifs"),
    *(".heic", ".heif", ".hif", ".jxl"),
}
"""File names taken for pictures when a folder is searched; a file named outright is always read."""

CAPTION_SUFFIXES = (".txt", ".caption")
"""What a caption's name ends in: the first that is there is read. kohya's scripts look for the
second unless told otherwise, all other tools for the first."""

MASK_ENDINGS = ("-mask", "_mask", ".mask", "-masklabel")
"""`cat-mask.png` is the mask of `cat.jpg`, not a picture; OneTrainer writes `cat-masklabel.png`."""

MASK_FOLDERS = ("masks", "mask")
"""So is `masks/cat.png`."""

CONDITIONING_ENDING = "-condlabel"
"""OneTrainer's name for a picture's conditioning image, which no word is learned from."""

COMPANION_ENDINGS = ("-masklabel", CONDITIONING_ENDING)
"""Names of what only ever belongs to a picture, even where that is missing."""

REPEATS_FOLDER = re.compile(r"\d+_.+")
"""kohya's scripts want pictures in folders `REPEATS_NAME`."""

SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
"""What systems put into folders of pictures."""

MAX_LISTED = 5
"""Of several files, so many are named."""

MAX_PATH_CHARS = 300
"""Letters of a path that an error shows, where there is no such file."""

Note = Callable[[str], None]


def find(pictures: Sequence[Path], note: Note = lambda _text: None) -> list[Path]:
    """The picture files meant by `pictures`: a folder, or several files, in a stable order.

    A folder that holds no pictures but folders of kohya's kind, `10_cat`, means those. Other
    folders in it are not searched. Masks and captions of pictures that are found are no pictures,
    however they are given: a shell's `folder/*` names them, too.

    Args:
        pictures: a folder, or several files.
        note: told what was not taken.

    Raises:
        PictureError: a path does not exist, or a folder holds no pictures.
    """
    found: list[Path] = []
    for path in pictures:
        try:
            there = path.exists()
        except OSError:  # a name that no file can have
            there = False
        if not there:
            called = (
                str(path) if len(str(path)) < MAX_PATH_CHARS else f"{str(path)[:MAX_PATH_CHARS]}…"
            )
            raise PictureError(f"{called} does not exist. Give a folder of pictures, or the files.")
        found += _pictures_in(path, note) if path.is_dir() else [path]
    kept = _without_companions(found)
    if not kept:
        raise PictureError("no pictures given. Give a folder of pictures, or the files.")
    lone = [path.name for path in kept if _owners(path)]
    if lone:
        note(f"taken for pictures, since no picture has them as a mask: {_list_names(lone)}")
    return kept


def mask_files(pictures: Sequence[Path]) -> dict[Path, list[Path]]:
    """Picture -> its mask files, the one to use first; pictures without any are left out."""
    keys: dict[Path, list[Path]] = {}
    for path in pictures:
        keys.setdefault(_without_ending(path), []).append(path)
    found: dict[Path, list[Path]] = {}
    for folder in sorted({path.parent for path in pictures}):
        for place in (folder, *(folder / name for name in MASK_FOLDERS)):
            for file in _picture_files_in(place):
                for picture in (one for key in _mask_owners(file) for one in keys.get(key, ())):
                    found.setdefault(picture, []).append(file)
    return found


def caption_files(picture: Path) -> list[Path]:
    """The caption files of a picture; the first is the one to read."""
    places = [picture.with_suffix(ending) for ending in CAPTION_SUFFIXES]
    return [path for path in places if path.exists()]


def _pictures_in(folder: Path, note: Note) -> list[Path]:
    """The pictures in a folder, and perhaps in those in it; what else it holds is said."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise PictureError(f"{folder} cannot be read: {error.strerror or error}.") from error
    folders = [p for p in entries if p.is_dir() and p.name.lower() not in MASK_FOLDERS]
    files = [p for p in entries if not p.is_dir() and p.name.lower() not in SYSTEM_FILES]
    pictures = [p for p in files if p.suffix.lower() in SUFFIXES]
    pictures = [p for p in pictures if not _ends_with_any(p.stem, COMPANION_ENDINGS)]
    found = list(pictures)
    repeated = [] if pictures else [p for p in folders if REPEATS_FOLDER.fullmatch(p.name)]
    for inner in repeated:
        found += _pictures_in(inner, note)
    if repeated:
        note(
            f"{folder}: the pictures are those in {_list_names(p.name for p in repeated)}. All are "
            "seen equally often; the numbers of repeats are not used"
        )
    _note_other_files(folder, files, pictures, note)
    others = [p.name for p in folders if p not in repeated]
    if not found:
        hint = (
            f", and its folders are not searched: {_list_names(others)}. Give those"
            if others
            else ""
        )
        raise PictureError(
            f"{folder} holds no pictures{hint}. Three to five are enough; known file types: "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    if others:
        note(f"{folder}: folders in it are not searched: {_list_names(others)}")
    return found


def _note_other_files(
    folder: Path, files: Sequence[Path], pictures: Sequence[Path], note: Note
) -> None:
    """Say which files are neither pictures nor belong to one."""
    stems = {_without_ending(p) for p in pictures}
    rest = [p for p in files if p not in set(pictures)]
    captions = {p for p in rest if p.suffix in CAPTION_SUFFIXES}
    lonely = [p.name for p in rest if p in captions and _without_ending(p) not in stems]
    others = [p.name for p in rest if p not in captions and not stems & set(_owners(p))]
    if lonely:
        note(f"{folder}: no picture has the name of these captions: {_list_names(lonely)}")
    if others:
        note(f"{folder}: not taken for pictures: {_list_names(others)}")


def _without_companions(found: Sequence[Path]) -> list[Path]:
    """The files that are neither the mask nor the caption of one of the others."""
    captions = {p for p in found if p.suffix in CAPTION_SUFFIXES}
    stems = {_without_ending(p) for p in found if p not in captions}
    return [
        path
        for path in found
        if not stems & set(_owners(path))
        and not (path in captions and _without_ending(path) in stems)
    ]


def _owners(path: Path) -> list[Path]:
    """The pictures, without their endings, that this stands beside by its name."""
    key = _without_ending(path)
    own = (
        [key.with_name(key.name[: -len(CONDITIONING_ENDING)])]
        if _ends_with_any(key.name, [CONDITIONING_ENDING])
        else []
    )
    return own + _mask_owners(path)


def _mask_owners(path: Path) -> list[Path]:
    """The pictures, without their endings, whose mask this is by its name."""
    key = _without_ending(path)
    stems = [key.name]
    stems += [key.name[: -len(mark)] for mark in MASK_ENDINGS if _ends_with_any(key.name, [mark])]
    if _ends_with_any(key.name, [".mask"]):
        stems.append(key.name[: -len(".mask")] + ".src")
    beside = [key.with_name(stem) for stem in stems[1:]]
    if key.parent.name.lower() in MASK_FOLDERS:
        beside += [key.parent.parent / stem for stem in stems]
    return beside


def _picture_files_in(folder: Path) -> list[Path]:
    """The pictures by name in a folder that may not be there."""
    try:
        return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    except OSError:
        return []


def _without_ending(path: Path) -> Path:
    """The path without its ending, the same however it was given."""
    return path.parent.resolve() / path.stem


def _ends_with_any(stem: str, marks: Iterable[str]) -> bool:
    return any(stem.lower().endswith(mark) and len(stem) > len(mark) for mark in marks)


def _list_names(names: Iterable[str]) -> str:
    several = list(names)
    more = f" and {len(several) - MAX_LISTED} more" if len(several) > MAX_LISTED else ""
    return ", ".join(several[:MAX_LISTED]) + more
