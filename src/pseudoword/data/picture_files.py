"""Which files are pictures, and which are the mask or the caption of a picture, by their names.

Every file of a folder that is not used is reported.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pseudoword import lookup
from pseudoword.config.pictures import REPEATS, SUFFIXES, SYSTEM_FOLDERS, is_hidden_picture
from pseudoword.errors import PictureError
from pseudoword.files import in_order, read_errors
from pseudoword.progress import Note
from pseudoword.text import listed

CAPTION_SUFFIXES = (".txt", ".caption")
"""Suffixes of captions; the first one found is read. kohya's scripts use the second by default, all
other tools the first."""

CAPTION_LISTS = (
    *("metadata.jsonl", "metadata.csv", "data.jsonl"),
    *("meta_lat.json", "meta_clean.json", "meta_cap_dd.json", "meta_cap.json"),
)
"""Files with captions of several pictures; the first one that has a picture is read for it. The
last four are those of kohya's scripts, from the last of their steps to the first."""

MASK_ENDINGS = ("-mask", "_mask", ".mask", "-masklabel")
"""`cat-mask.png` is the mask of `cat.jpg`, not a picture. OneTrainer writes `cat-masklabel.png`."""

MASK_FOLDERS = ("masks", "mask")
"""`masks/cat.png` is the mask of `cat.jpg`, too."""

CONDITIONING_ENDING = "-condlabel"
"""OneTrainer's name for the conditioning image of a picture. It is not a training picture."""

COMPANION_ENDINGS = ("-masklabel", CONDITIONING_ENDING)
"""Files with these endings always belong to a picture, even if that picture is missing."""

SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
"""Files that operating systems put into folders of pictures."""

MAX_LISTED = 5
"""A message lists at most this many file names."""


def find(pictures: Sequence[Path], note: Note = lambda _text: None) -> list[Path]:
    """Find the picture files, in a stable order.

    A folder with no pictures of its own, but with folders called as kohya's scripts want them
    (`10_cat`), stands for the pictures in those, used as often as `repeats` says. Other folders
    inside it are not searched. Masks and captions are left out, also where a shell's `folder/*`
    names them.

    Args:
        pictures: a folder, or several files.
        note: called with what is not used.

    Raises:
        PictureError: a path does not exist, or a folder has no pictures.
    """
    files: list[Path] = []
    lookup.pictures_there(pictures)
    for path in pictures:
        files += _pictures_in(path, note) if path.is_dir() else [path]
    kept = _without_companions(_once(files, note))
    if not kept:
        raise PictureError("no pictures given. Give a folder of pictures, or the files.")
    lone = [path.name for path in kept if _owners(path)]
    if lone:
        note(
            f"used as pictures, because no picture has them as its mask: {listed(lone, MAX_LISTED)}"
        )
    return kept


def repeats(given: Sequence[Path], pictures: Sequence[Path]) -> list[int]:
    """How often each of the `pictures` is used beside the others.

    Of pictures that `find` has found in a folder such as `10_cat`, inside one of those `given`, it
    is the number in its name; of all others it is 1.
    """
    named = [REPEATS.match(path.absolute().parent.name) for path in pictures]
    outer = {path.absolute() for path in given}
    return [
        int(name[1]) if name and not outer & {path.absolute(), path.absolute().parent} else 1
        for path, name in zip(pictures, named, strict=True)
    ]


def note_repeats(given: Sequence[Path], pictures: Sequence[Path], note: Note) -> None:
    """Report that some pictures are learned from more often than others."""
    found = {*repeats(given, pictures)}
    if len(found) > 1:
        numbers = listed([str(number) for number in sorted(found)], MAX_LISTED)
        note(
            "pictures are used as often beside each other as the numbers in the names of their "
            f"folders say: {numbers}"
        )


def mask_files(pictures: Sequence[Path]) -> dict[Path, list[Path]]:
    """Picture -> its mask files, the one to use first. Pictures without a mask are left out."""
    by_owner: dict[Path, list[Path]] = {}
    for path in pictures:
        by_owner.setdefault(_without_suffix(path), []).append(path)
    masks: dict[Path, list[Path]] = {}
    for folder in sorted({path.parent for path in pictures}):
        for place in (folder, *_mask_folders(folder)):
            for file in _picture_files_in(place):
                for owner in _mask_owners(file):
                    for picture in by_owner.get(owner, ()):
                        masks.setdefault(picture, []).append(file)
    return masks


def caption_files(picture: Path) -> list[Path]:
    """The caption files of a picture; the first is the one to read."""
    found = []
    for suffix in CAPTION_SUFFIXES:
        written = (picture.with_suffix(suffix), picture.with_suffix(suffix.upper()))
        found += [path for path in written if path.exists()][:1]  # case may make no difference
    return found


def _pictures_in(folder: Path, note: Note) -> list[Path]:
    """The pictures in a folder, or in its kohya-style folders. Reports everything else."""
    with read_errors(folder, PictureError):
        everything = in_order(folder)
        entries = [path for path in everything if not path.name.startswith(".")]
        inside = [p for p in entries if p.is_dir()]
        hidden = [p.name for p in everything if is_hidden_picture(p)]
    folders = [p for p in inside if p.name.lower() not in {*MASK_FOLDERS, *SYSTEM_FOLDERS}]
    files = [p for p in entries if p not in inside and p.name.lower() not in SYSTEM_FILES]
    pictures = [
        p
        for p in files
        if p.suffix.lower() in SUFFIXES and not _without_ending(p.stem, COMPANION_ENDINGS)
    ]
    _note_other_files(folder, files, pictures, note)
    if hidden:
        note(f"{folder}: hidden by the dot before their names: {listed(hidden, MAX_LISTED)}")
    repeated = [] if pictures else [p for p in folders if REPEATS.match(p.name)]
    unsearched = [p.name for p in folders if p not in repeated]
    if repeated:
        names = listed([p.name for p in repeated], MAX_LISTED)
        note(f"{folder}: using the pictures in {names}")
        pictures = [picture for inner in repeated for picture in _pictures_in(inner, note)]
    if not pictures:
        hint = f", and its folders are not searched: {listed(unsearched, MAX_LISTED)}. Give those"
        raise PictureError(
            f"{folder} holds no pictures{hint if unsearched else ''}. Three to five are enough, "
            "as .jpg, .png, .webp, .heic or another usual type."
        )
    if unsearched:
        note(f"{folder}: folders in it are not searched: {listed(unsearched, MAX_LISTED)}")
    return pictures


def _note_other_files(
    folder: Path, files: Sequence[Path], pictures: Sequence[Path], note: Note
) -> None:
    """Report the files that are neither pictures nor belong to one."""
    owners = {_without_suffix(p) for p in pictures}
    rest = [p for p in files if p not in set(pictures)]
    captions = {p for p in rest if p.suffix in CAPTION_SUFFIXES}
    capitals = {p for p in rest if p.suffix.lower() in CAPTION_SUFFIXES} - captions
    captions |= {p for p in capitals if _without_suffix(p) in owners}
    lone_captions = [p.name for p in rest if p in captions and _without_suffix(p) not in owners]
    unused = [p.name for p in rest if p not in captions and not owners & set(_owners(p))]
    unused = [name for name in unused if name not in CAPTION_LISTS]
    if lone_captions:
        note(f"{folder}: captions without a picture: {listed(lone_captions, MAX_LISTED)}")
    if unused:
        note(f"{folder}: not used as pictures: {listed(unused, MAX_LISTED)}")


def _once(files: Sequence[Path], note: Note) -> list[Path]:
    """The files, each once."""
    first: dict[Path, Path] = {}
    for path in files:
        first.setdefault(path.absolute(), path)
    if len(first) < len(files):
        given = Counter(path.absolute() for path in files)
        twice = [path for place, path in first.items() if given[place] > 1]
        note(f"given more than once, and used once: {listed(twice, MAX_LISTED)}")
    return list(first.values())


def _without_companions(files: Sequence[Path]) -> list[Path]:
    """The files that are neither the mask nor the caption of another file, nor a list of those."""
    captions = {p for p in files if p.suffix.lower() in CAPTION_SUFFIXES}
    owners = {_without_suffix(p) for p in files if p not in captions}
    return [
        path
        for path in files
        if not owners & set(_owners(path))
        and not (path.name in CAPTION_LISTS and len(files) > 1)
        and not (path in captions and _without_suffix(path) in owners)
    ]


def _owners(path: Path) -> list[Path]:
    """The pictures, without suffixes, that `path` belongs to by its name."""
    stem = _without_suffix(path)
    conditioned = _without_ending(stem.name, [CONDITIONING_ENDING])
    return [*map(stem.with_name, conditioned), *_mask_owners(path)]


def _mask_owners(path: Path) -> list[Path]:
    """The pictures, without suffixes, whose mask `path` is by its name."""
    stem = _without_suffix(path)
    names = _without_ending(stem.name, MASK_ENDINGS)
    names += [f"{name}.src" for name in _without_ending(stem.name, [".mask"])]
    owners = [*map(stem.with_name, names)]
    if stem.parent.name.lower() in MASK_FOLDERS:
        owners += [stem.parent.parent / name for name in (stem.name, *names)]
    return owners


def _mask_folders(folder: Path) -> list[Path]:
    """The folders of masks in a folder, the one to use first."""
    try:
        names = {p.name for p in folder.iterdir() if p.name.lower() in MASK_FOLDERS}
    except OSError:
        return []
    first_to_last = sorted(
        names, key=lambda name: (MASK_FOLDERS.index(name.lower()), name != name.lower(), name)
    )
    return [folder / name for name in first_to_last]


def _picture_files_in(folder: Path) -> list[Path]:
    """The files with a picture's suffix in a folder; none if there is no such folder."""
    try:
        return [p for p in in_order(folder) if p.suffix.lower() in SUFFIXES]
    except OSError:
        return []


def _without_suffix(path: Path) -> Path:
    """The absolute path without its suffix."""
    return path.parent.resolve() / path.stem


def _without_ending(stem: str, endings: Iterable[str]) -> list[str]:
    """What is before each of these endings that `stem` has, in small letters or not."""
    return [stem[: -len(end)] for end in endings if stem[1:].lower().endswith(end)]
