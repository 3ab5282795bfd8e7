"""Data sets: the pictures that a word is learned from, with their captions, masks and crops.

`pictures/ID/originals/` holds what was uploaded, `pictures/ID/files/` what training reads: the
pictures, cut where a crop was chosen, each with its mask and its caption beside it.
"""

import json
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pseudoword import api, internals
from pseudoword.config import PrepareConfig
from pseudoword.config.pictures import SUFFIXES
from pseudoword.errors import PictureError, SettingsError, StorageError
from pseudoword.files import read_regular, remove, write_whole
from pseudoword.progress import Progress, Silent
from pseudoword.text import brief
from pseudoword.ui import libraries
from pseudoword.ui.settings import checked
from pseudoword.ui.workspace import UnknownIdError, Workspace, base_name

ABOUT, ORIGINALS, FILES = "about.json", "originals", "files"

LONGEST_CAPTION = 10_000
"""The most characters of a caption."""

LARGEST_ABOUT_NBYTES = 10_000_000

Box = tuple[int, int, int, int]
"""(left, upper, right, lower) in pixels of the upright original."""


@dataclass(frozen=True)
class Picture:
    """One picture of a data set."""

    id: str
    """names it within its data set"""
    name: str
    """what its file was called; to be shown, never to be used as a path"""
    caption: str
    masked: bool
    crop: Box | None
    """the part that is used; None: all of it"""
    called: str
    """`name`, with a number from the second one on that is called so"""


class DataSets:
    """The data sets of a workspace. Each method takes an id that `new` gave or was given."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def new(self, name: str | None = None) -> str:
        """Make an empty data set; its id is `name`, or one that only the caller knows.

        Raises:
            UnknownIdError: `name` is no id: 32 hexadecimal digits.
        """
        name, folder = self.workspace.new("pictures", name)
        for inside in (ORIGINALS, FILES):
            (folder / inside).mkdir(mode=0o700)
        _write(folder, {"next": 1, "pictures": {}})
        self._make_room()
        return name

    def add(self, data_set: str, source: Path | bytes, name: str) -> Picture:
        """Add a picture; `name` is what its file was called.

        Raises:
            PictureError: it is no picture that can be read; the message calls it `name`.
            SettingsError: it is too large, or there are too many.
        """
        name = base_name(name)
        data = self.workspace.read_upload(source, name, PictureError)
        internals.decode(data, Path(name), "white")
        with self._changed(data_set) as (folder, about):
            if len(about["pictures"]) >= self.workspace.limits.most_pictures:
                raise SettingsError(
                    f"{brief(name)} is not taken: a data set has at most "
                    f"{self.workspace.limits.most_pictures} pictures, and three to five are enough."
                )
            key = f"{about['next']:04}"
            file = f"{key}{_ending(name)}"
            write_whole(folder / ORIGINALS / file, data)
            write_whole(folder / FILES / file, data)
            about["next"] += 1
            about["pictures"][key] = {"name": name, "file": file, "crop": None}
        return self.one(data_set, key)

    def pictures(self, data_set: str) -> list[Picture]:
        """All pictures of a data set, in the order in which they came."""
        folder, about = self._read(data_set)
        return [_picture(folder, key, about) for key in about["pictures"]]

    def has(self, data_set: str) -> bool:
        """Whether there is a data set of that id."""
        try:
            self.pictures(data_set)
        except UnknownIdError:
            return False
        return True

    def one(self, data_set: str, picture: str) -> Picture:
        """One picture of a data set."""
        folder, about = self._read(data_set)
        _entry(about, picture)
        return _picture(folder, picture, about)

    def open(self, data_set: str, picture: str, needed_px: int | None = None) -> Image.Image:
        """The upright original, RGB; reduced where its short side is far more than `needed_px`."""
        folder, entry = self._entry(data_set, picture)
        return internals.open_picture(folder / ORIGINALS / entry["file"], needed_px=needed_px)

    def mask(self, data_set: str, picture: str) -> Image.Image | None:
        """The mask, as large as the upright original, mode L: white counts. None: there is none."""
        folder, _ = self._entry(data_set, picture)
        file = folder / ORIGINALS / f"{picture}-mask.png"
        return internals.open_picture(file, "black").convert("L") if file.is_file() else None

    def set_caption(self, data_set: str, picture: str, caption: str) -> None:
        """Write the picture's own caption; an empty one takes it away."""
        if len(caption) > LONGEST_CAPTION:
            raise SettingsError(
                f"the caption has {len(caption)} characters; at most {LONGEST_CAPTION} are taken"
            )
        with self._changed(data_set) as (folder, about):
            _entry(about, picture)
            file = folder / FILES / f"{picture}.txt"
            if caption.strip():
                write_whole(file, caption.encode("utf-8", "replace"))
            else:
                remove(file)

    def set_mask(self, data_set: str, picture: str, mask: Image.Image | None) -> None:
        """Say what counts in the whole upright original: white does. None: everything.

        Raises:
            PictureError: the mask is of another shape than the picture.
        """
        with self._changed(data_set) as (folder, about):
            entry = _entry(about, picture)
            kept = folder / ORIGINALS / f"{picture}-mask.png"
            if mask is None:
                remove(kept)
            else:
                width, height = internals.open_picture(folder / ORIGINALS / entry["file"]).size
                if not math.isclose(mask.width / mask.height, width / height, rel_tol=0.02):
                    raise PictureError(
                        f"the mask is {mask.width} x {mask.height} pixels and {entry['name']} "
                        f"{width} x {height}; a mask needs the shape of its picture."
                    )
                whole = mask.convert("L").resize((width, height))
                write_whole(kept, internals.encode_picture(whole, "PNG"))
            _cut(folder, picture, entry)

    def set_crop(self, data_set: str, picture: str, crop: Box | None) -> None:
        """Use this part of the upright original only; None: all of it.

        Raises:
            SettingsError: nothing of the picture is in it.
        """
        with self._changed(data_set) as (folder, about):
            entry = _entry(about, picture)
            if crop is not None:
                width, height = internals.open_picture(folder / ORIGINALS / entry["file"]).size
                left, upper, right, lower = (round(side) for side in crop)
                crop = (max(0, left), max(0, upper), min(width, right), min(height, lower))
                if crop[2] - crop[0] < 8 or crop[3] - crop[1] < 8:
                    raise SettingsError(
                        f"the crop of {entry['name']} holds less than 8 x 8 of its {width} x "
                        f"{height} pixels"
                    )
            entry["crop"] = list(crop) if crop else None
            _cut(folder, picture, entry)

    def remove(self, data_set: str, picture: str) -> None:
        """Take a picture out of the data set, with its caption and mask."""
        with self._changed(data_set) as (folder, about):
            _entry(about, picture)
            del about["pictures"][picture]
            for inside in (ORIGINALS, FILES):
                for file in (folder / inside).glob(f"{picture}[.-]*"):
                    remove(file)

    def discard(self, data_set: str) -> None:
        """Delete a data set. Trainings that were begun with it keep what they need."""
        shutil.rmtree(self.workspace.path("pictures", data_set), ignore_errors=True)

    def look(
        self, data_set: str, *, progress: Progress | None = None, **settings: Any
    ) -> "api.Prepared":
        """What training would see: crops, captions, warnings; and suggested settings.

        Args:
            data_set: its id.
            progress: told what is going on.
            **settings: fields of `PrepareConfig`, without `pictures`.

        Returns:
            As `api.prepare`; its pictures are in the order of `pictures`, unless one was skipped.
        """
        folder = self.files(data_set)
        values = checked(self.workspace, PrepareConfig, settings)
        config = PrepareConfig.check(pictures=[folder], **values)
        sheet = folder.parent / "sheet.png"
        libraries.ready()
        return internals.prepare_pictures(config, sheet, None, progress or Silent(), overwrite=True)

    def files(self, data_set: str) -> Path:
        """The folder that training reads."""
        return self.workspace.path("pictures", data_set) / FILES

    @contextmanager
    def _changed(self, data_set: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The data set's folder, and what it holds, which is written when the block ends well."""
        with self.workspace.turn("pictures"):
            folder, about = self._read(data_set)
            yield folder, about
            _write(folder, about)

    def _read(self, data_set: str) -> tuple[Path, dict[str, Any]]:
        folder = self.workspace.path("pictures", data_set)
        data = read_regular(folder / ABOUT, LARGEST_ABOUT_NBYTES, StorageError)
        about: dict[str, Any] = json.loads(data)
        return folder, about

    def _entry(self, data_set: str, picture: str) -> tuple[Path, dict[str, Any]]:
        folder, about = self._read(data_set)
        return folder, _entry(about, picture)

    def _make_room(self) -> None:
        """Drop data sets that nobody has touched for longest, where there are too many."""
        for name in self.workspace.ids("pictures")[: -self.workspace.limits.most_data_sets]:
            self.discard(name)


def names_of(pictures: Iterable[Picture]) -> dict[str, str]:
    """Id -> what it is called."""
    return {one.id: one.called for one in pictures}


def by_name(text: str, names: Mapping[str, str]) -> str:
    """`text`, in which pictures are called as people called them: id -> name."""
    return re.sub(
        r"(?:(?:\b[A-Za-z]:)?[^\s,;:]*[/\\])?(\d{4})\.\w{2,5}\b",
        lambda found: names.get(found[1], found[0]),
        text,
    )


def link_or_copy(files: Sequence[Path], folder: Path) -> None:
    """Put `files` into `folder`, without a copy where that can be: they are never written into."""
    folder.mkdir(exist_ok=True, mode=0o700)
    for file in files:
        try:
            (folder / file.name).hardlink_to(file)
        except OSError:
            shutil.copyfile(file, folder / file.name)


def _picture(folder: Path, key: str, about: dict[str, Any]) -> Picture:
    entry = about["pictures"][key]
    alike = [one for one, other in about["pictures"].items() if other["name"] == entry["name"]]
    number = alike.index(key) + 1  # phones call many pictures image.jpg
    return Picture(
        key,
        entry["name"],
        _caption(folder, key),
        (folder / ORIGINALS / f"{key}-mask.png").is_file(),
        tuple(entry["crop"]) if entry["crop"] else None,
        f"{entry['name']} ({number})" if number > 1 else entry["name"],
    )


def _entry(about: dict[str, Any], picture: str) -> dict[str, Any]:
    if picture not in about["pictures"]:
        raise UnknownIdError(
            "this picture is not here any more: it was taken out. Load the page again."
        )
    entry: dict[str, Any] = about["pictures"][picture]
    return entry


def _cut(folder: Path, key: str, entry: dict[str, Any]) -> None:
    """Make anew what training reads of a picture."""
    original, crop = folder / ORIGINALS / entry["file"], entry["crop"]
    for old in (folder / FILES).glob(f"{key}[.-]*"):
        if old.suffix != ".txt":
            remove(old)
    data = read_regular(original, 1 << 30, PictureError)
    mask = folder / ORIGINALS / f"{key}-mask.png"
    if crop is None:
        write_whole(folder / FILES / entry["file"], data)
    else:
        opened = internals.decode(data, Path(entry["name"]), "white")
        picture = opened.picture.copy()
        if opened.alpha is not None:
            picture.putalpha(opened.alpha)
        cut = internals.encode_picture(picture.crop(crop), "PNG")
        write_whole(folder / FILES / f"{key}.png", cut)
    if mask.is_file():
        seen = internals.open_picture(mask, "black").convert("L")
        cut = internals.encode_picture(seen.crop(crop) if crop else seen, "PNG")
        write_whole(folder / FILES / f"{key}-mask.png", cut)


def _caption(folder: Path, key: str) -> str:
    file = folder / FILES / f"{key}.txt"
    if not file.is_file():
        return ""
    return read_regular(file, 4 * LONGEST_CAPTION, StorageError).decode("utf-8", "replace")


def _write(folder: Path, about: dict[str, Any]) -> None:
    write_whole(folder / ABOUT, json.dumps(about).encode())


def _ending(name: str) -> str:
    """One of the endings that pictures have: nothing else of a name gets to the disk."""
    ending = Path(name).suffix.lower()
    return ending if ending in SUFFIXES else ".png"
