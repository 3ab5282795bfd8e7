"""One folder for all that a page makes, in which everything has an id instead of a path.

An id is 32 hexadecimal digits by chance: nobody guesses it, and it is no path. What a page names
is looked up here, and nowhere else: what is no id, or leads out of the folder through a link, is
refused. Names that people give to files are shown, and never used as names of files.
"""

import contextlib
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pseudoword import files, locks
from pseudoword.errors import PseudowordError, RunFolderError, SettingsError, StorageError
from pseudoword.text import brief

Kind = Literal["pictures", "queue", "runs", "words", "trash", "locks"]

KINDS: tuple[Kind, ...] = get_args(Kind)
"""Folders of the workspace; in each, a folder for every id."""

CALLED: dict[Kind, str] = {
    **{"pictures": "these pictures are", "queue": "this training is", "runs": "this training is"},
    **{"words": "this word is", "trash": "what was deleted is", "locks": "it is"},
}
"""What is told of an id, which nobody but the page knows."""

MODELS, LORAS = "models", "loras"
"""Folders for whoever owns the workspace to put base models and LoRA files into: a page offers
them by name, and never writes there. What is in them may be links."""

Lock = Literal["names", "words", "pictures", "worker"]
"""Locks of the whole workspace; every training has one, too, which is called like it."""

_ID = re.compile("[0-9a-f]{32}", re.ASCII)

COUNT_EVERY_S = 60.0

PATIENCE_S = 10.0
"""Nobody holds a lock for so long that is held for a moment only."""


class UnknownIdError(PseudowordError):
    """An id names nothing in the workspace."""


@dataclass(frozen=True)
class WorkspaceLimits:
    """How much a workspace takes from those who use its page."""

    largest_upload_mb: int = 64
    most_pictures: int = 200
    """in one data set"""
    most_data_sets: int = 200
    """the one that nobody has touched for longest goes when there is one more"""
    most_jobs: int = 200
    """trainings that wait in the queue"""
    most_trash: int = 100
    """deleted words and trainings that can be brought back; older ones are gone for good"""
    workspace_gb: float = 20.0
    """all that is uploaded, together"""


class Workspace:
    """The folder, and the way from ids to what is in it.

    Args:
        folder: made if it is not there, for its owner only.
        limits: how much may be uploaded into it.

    Raises:
        StorageError: it cannot be made, or one of its folders is a link or a file.
    """

    def __init__(self, folder: str | Path, limits: WorkspaceLimits | None = None) -> None:
        self.folder = Path(folder).resolve()
        self.limits = limits or WorkspaceLimits()
        self._counted_nbytes, self._counted_at = 0, -math.inf
        with files.write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in (*KINDS, MODELS, LORAS):
                (self.folder / name).mkdir(exist_ok=True, mode=0o700)
                if name in KINDS and (self.folder / name).is_symlink():
                    raise StorageError(
                        f"{self.folder / name} is a link, and a workspace has none. Replace it by "
                        "a folder, or choose another --workspace."
                    )

    def new(self, kind: Kind, name: str | None = None) -> tuple[str, Path]:
        """A new id, or the one that is given, and its empty folder.

        Raises:
            UnknownIdError: `name` is no id.
            StorageError: the folder cannot be made, or is there already.
        """
        name = secrets.token_hex(16) if name is None else name
        path = self.place(kind, name)
        with files.write_errors(path):
            path.mkdir(mode=0o700)
        return name, path

    def path(self, kind: Kind, name: str) -> Path:
        """The folder that the id `name` stands for.

        Raises:
            UnknownIdError: it is no id, there is nothing of that id, or a link is in its place.
        """
        path = self.place(kind, name)
        if path.is_symlink() or not path.is_dir():
            raise UnknownIdError(
                f"{CALLED[kind]} not in this workspace any more. Load the page again."
            )
        return path

    def place(self, kind: Kind, name: str) -> Path:
        """Where the folder of an id is, or will be.

        Raises:
            UnknownIdError: `name` is no id.
        """
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise UnknownIdError(f"{brief(name)} is no id of anything in this workspace.")
        return self.folder / kind / name

    def ids(self, kind: Kind) -> list[str]:
        """All that there are of a kind, the oldest first."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self.folder / kind) as entries:
            for entry in entries:
                if _ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    with contextlib.suppress(OSError):  # it was just moved or removed
                        stat = entry.stat(follow_symlinks=False)  # on Windows, ctime never changes
                        found.append((max(stat.st_ctime, stat.st_mtime), entry.name))
        return [name for _, name in sorted(found)]

    def read_upload(self, source: Path | bytes, name: str, kind: type[PseudowordError]) -> bytes:
        """What an uploaded file holds that was called `name`.

        Raises:
            PseudowordError: of that kind: it cannot be read.
            SettingsError: as `check_size`.
        """
        most = self.limits.largest_upload_mb * 1_000_000
        data = source if isinstance(source, bytes) else files.read_regular(source, most, kind)
        self.check_size(len(data), name)
        return data

    def check_size(self, nbytes: int, name: str) -> None:
        """Refuse an upload that is too large, alone or with all that is here already.

        Raises:
            SettingsError: the message says what the bound is.
        """
        most = self.limits.largest_upload_mb
        if nbytes > most * 1_000_000:
            raise SettingsError(
                f"{brief(name)} has {nbytes / 1e6:,.0f} MB; at most {most} MB are taken."
            )
        if nbytes + self._uploaded_nbytes() > self.limits.workspace_gb * 1e9:
            raise SettingsError(
                f"{brief(name)} is not taken: what has been uploaded fills the "
                f"{self.limits.workspace_gb:g} GB of this workspace. Delete words, pictures or "
                "trainings."
            )
        self._counted_nbytes += nbytes

    def _uploaded_nbytes(self) -> int:
        """What all uploads take; counted anew every minute, since it takes a while."""
        if time.monotonic() - self._counted_at > COUNT_EVERY_S:
            self._counted_at = time.monotonic()
            found = {}  # a picture of a data set and of its trainings is there once
            for kind in ("pictures", "queue", "words"):
                for folder, _, names in os.walk(self.folder / kind):
                    for name in names:
                        with contextlib.suppress(OSError):
                            there = os.lstat(Path(folder, name))
                            found[there.st_dev, there.st_ino] = there.st_size
            self._counted_nbytes = sum(found.values())
        return self._counted_nbytes

    @contextlib.contextmanager
    def turn(self, name: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Hold the lock `name`, for which others wait in the meantime.

        Args:
            name: a `Lock`, or the id of a training.
            patience_s: how long to wait for it.

        Raises:
            UnknownIdError: `name` is neither.
            RunFolderError: somebody has held it all the time.
        """
        folder = self._lock(name)
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locks.lock_folder(folder, patience_s))
            except RunFolderError:
                raise RunFolderError(
                    "another page or process is busy with this. Try again in a moment."
                ) from None
            yield

    def is_held(self, name: str) -> bool:
        """Whether a live process holds the lock `name`."""
        return locks.is_locked(self._lock(name))

    def _lock(self, name: str) -> Path:
        if name in get_args(Lock):
            return self.folder / "locks" / name
        return self.place("locks", name)

    def move_to_trash(self, kind: Kind, name: str) -> None:
        """Take something out of sight; `bring_back` undoes it."""
        source, trash = self.path(kind, name), self.folder / "trash" / name
        with files.write_errors(trash):
            trash.mkdir(exist_ok=True, mode=0o700)
            shutil.rmtree(trash / kind, ignore_errors=True)
            files.move(source, trash / kind)
            for old in self.ids("trash")[: -self.limits.most_trash]:
                shutil.rmtree(self.folder / "trash" / old, ignore_errors=True)

    def bring_back(self, kind: Kind, name: str) -> None:
        """Undo `move_to_trash`.

        Raises:
            UnknownIdError: it is not in the trash.
            StorageError: it is there again already.
        """
        source, target = self.path("trash", name) / kind, self.place(kind, name)
        if source.is_symlink() or not source.is_dir():
            raise UnknownIdError(f"{CALLED[kind]} not in the trash any more.")
        if os.path.lexists(target):
            raise StorageError(f"{target} is there again already; it was not replaced.")
        with files.write_errors(target):
            files.move(source, target)
            with contextlib.suppress(OSError):
                source.parent.rmdir()


def base_name(name: str) -> str:
    """The last part of a name that came with an upload, for showing only.

    Browsers write a quotation mark and the ends of lines in names as `%22`, `%0A` and `%0D`.
    """
    for letter in '"\n\r':
        name = name.replace(f"%{ord(letter):02X}", letter)
    return name.replace("\\", "/").rpartition("/")[2].replace("\0", "")[:200] or "upload"
