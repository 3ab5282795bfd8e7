"""Outputs: a command replaces only files that it wrote itself, unless the user says otherwise.

A single file is written if its name is free, or if it has the same bytes already. Folders have a
record of the files that were written, `.pseudoword.jsonl`: a line with maker, name and SHA-256 for
each write. The line is written before the file, so that a process that is killed leaves no unknown
file. A file that differs from its record is not ours: someone put it there or changed it, or it is
damaged.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pseudoword.errors import SettingsError, StorageError
from pseudoword.files import (
    NAME_NBYTES,
    WINDOWS,
    create_temporary,
    move,
    patiently,
    read_regular,
    remove,
    remove_abandoned,
    storage_error,
    unfit_for_windows,
    write_errors,
    write_whole,
)
from pseudoword.lookup import is_address
from pseudoword.text import listed

RECORD = ".pseudoword.jsonl"

LARGEST_NBYTES = 256 * 1024 * 1024
"""A longer record is not read."""


def check_writable(*paths: Path) -> None:
    """Check before any work that files can be written, without writing them.

    Raises:
        StorageError: a folder cannot be created or written to, a name is too long or an address,
            or there is something that is not a file.
    """
    for path in paths:
        if is_address(path):
            raise StorageError(f"cannot write {path}: it is an address. Give a path here instead.")
        with _as_storage_error(path), contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):
                raise IsADirectoryError(errno.EISDIR, "it is there and is not a file")
    for path in {path.parent: path for path in paths}.values():
        with _as_storage_error(path):
            folder = path.parent
            while not folder.exists():
                if folder == folder.parent:  # a drive that is not there
                    raise FileNotFoundError(errno.ENOENT, f"there is no {folder}")
                folder = folder.parent
            remove_abandoned(folder)
            descriptor, test_file = create_temporary(folder)
            os.close(descriptor)
            remove(test_file)


@contextlib.contextmanager
def _as_storage_error(path: Path) -> Iterator[None]:
    try:
        for name in path.parts:
            if len(os.fsencode(name)) > NAME_NBYTES:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        if WINDOWS and (why := unfit_for_windows(path.relative_to(path.anchor).parts)):
            raise StorageError(f"cannot write {path}: {why}. Choose another name.")
        yield
    except OSError as error:
        raise storage_error(path, error) from error
    except ValueError:  # a zero byte, or half a surrogate
        raise StorageError(f"cannot write {str(path)!r}: no file can have this name") from None


def check_free(paths: Iterable[Path], *, overwrite: bool = False) -> None:
    """Check before any work that files can be written without replacing one.

    Raises:
        StorageError: as `check_writable`; or a file exists and must not be replaced.
    """
    files = list(paths)
    check_writable(*files)
    existing = [path for path in files if os.path.lexists(path)]
    if existing and not overwrite:
        raise StorageError(would_replace(existing))


def has_content(path: Path, data: bytes) -> bool:
    """Whether `path` is a file with exactly these bytes."""
    try:
        return (
            path.is_file()
            and path.stat().st_size == len(data)
            and patiently(path.read_bytes) == data
        )
    except OSError:
        return False


def write_new(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write a file; do nothing if it has the same bytes already.

    Raises:
        StorageError: it exists with other bytes and must not be replaced, or cannot be written.
    """
    if not has_content(path, data):
        write_whole(path, data, replace=overwrite)


def would_replace(paths: Sequence[Path]) -> str:
    """The message about files that would be replaced."""
    they, them, are = ("it", "it", "is") if len(paths) == 1 else ("they", "them", "are")
    return (
        f"{listed(paths)} {are} there already and would be replaced, but this command did not "
        f"write {them}, or not as {they} {are} now. Choose another output, or add --overwrite."
    )


def next_free(first: Path, files: Callable[[Path], Iterable[Path]]) -> Path:
    """The first of `NAME`, `NAME-2`, `NAME-3` … that is free.

    Args:
        first: the name to try first.
        files: path -> all files that will be written for it.
    """
    for number in itertools.count(1):
        path = first if number == 1 else first.with_name(f"{first.stem}-{number}{first.suffix}")
        if not any(os.path.lexists(file) for file in files(path)):
            return path
    raise AssertionError


def maker_of(command: str, folder: Path, *of: str | Path) -> str:
    """The name of what writes into `folder`: a command and a hash of its inputs.

    Inputs are words, files or folders. Files and folders count by where they lie from `folder`, so
    all may be moved together.
    """
    inputs = "\0".join(_seen_from(folder, one) if isinstance(one, Path) else one for one in of)
    return (
        f"{command} {hashlib.blake2b(inputs.encode(errors='replace'), digest_size=8).hexdigest()}"
    )


def _seen_from(folder: Path, path: Path) -> str:
    """The way from `folder` to `path`; `path` itself if there is none, as on another drive."""
    try:
        return os.path.relpath(path.resolve(), folder.resolve())
    except ValueError:
        return str(path.resolve())


def check_not_input(out: Path, pictures: Iterable[Path]) -> None:
    """Check that the output folder is not a folder of input pictures or masks.

    Raises:
        SettingsError: it is, so outputs would be read as pictures or masks.
    """
    for folder in pictures:
        for read in (folder, folder / "masks"):
            if _is_same_folder(out, read):
                raise SettingsError(
                    f"nothing can be written to {out}: it is the folder that pictures are read "
                    "from, so it would be read as a picture. Give an --out in another folder."
                )


def _is_same_folder(one: Path, other: Path) -> bool:
    """Whether both are one folder; not if nobody may look at one: who reads it is told."""
    try:
        return one.is_dir() and other.is_dir() and one.samefile(other)
    except PermissionError:
        return False


class Outputs:
    """The files that one maker writes, or has written, into one folder.

    Names are relative to the folder, with `/` between their parts.
    """

    def __init__(self, folder: Path, maker: str) -> None:
        self.folder, self.maker = folder, maker
        self.record = folder / RECORD

    def write(self, name: str, data: bytes) -> Path:
        """Write a file, whole or not at all. Replaces any file of this name.

        Raises:
            StorageError: it cannot be written.
        """
        self._note(name, sha256=hashlib.sha256(data).hexdigest())
        write_whole(self.folder / name, data)
        return self.folder / name

    def register(self, name: str) -> Path:
        """Record a file that grows while we write: it is ours whatever it holds."""
        self._note(name, sha256=None)
        return self.folder / name

    def rename(self, name: str, to: str) -> None:
        """Rename one of our files."""
        self._note(to, sha256=_digest(self.folder / name))
        move(self.folder / name, self.folder / to)
        self._note(name, gone=True)

    def remove(self, *names: str) -> None:
        """Remove files, but only those that are ours."""
        for name in self.owned(names):
            remove(self.folder / name)
            self._note(name, gone=True)

    def recorded(self) -> list[str]:
        """The names in our record, even if the files were changed or removed since."""
        return list(self._read())

    def owned(self, names: Iterable[str] | None = None) -> list[str]:
        """The `names` (by default all) whose files are as we wrote them."""
        recorded = self._read()
        return [
            name
            for name in (recorded if names is None else names)
            if name in recorded and self._is_ours(name, recorded[name])
        ]

    def foreign(self, names: Iterable[str]) -> list[Path]:
        """The `names` whose files exist, but are not as we wrote them."""
        recorded = self._read()
        return [
            self.folder / name
            for name in names
            if os.path.lexists(self.folder / name)
            and not self._is_ours(name, recorded.get(name, ()))
        ]

    def check(self, names: Iterable[str], *, overwrite: bool = False) -> None:
        """Check before any work that files can be written without losing files of others.

        Raises:
            StorageError: a file cannot be written, or is not ours and must not be replaced.
        """
        files = list(names)
        check_writable(*(self.folder / name for name in files))
        if not overwrite and (foreign := self.foreign(files)):
            raise StorageError(would_replace(foreign))

    def _is_ours(self, name: str, digests: Sequence[str | None]) -> bool:
        path = self.folder / name
        return path.is_file() and (None in digests or _digest(path) in digests)

    def _note(self, name: str, **facts: Any) -> None:
        line = json.dumps({"maker": self.maker, "name": name, **facts})
        with write_errors(self.record):
            self.folder.mkdir(parents=True, exist_ok=True)
            with patiently(lambda: self.record.open("ab")) as file:
                file.write(f"\n{line}".encode())  # a line that was cut off does not damage the next
                file.flush()
                os.fsync(file.fileno())

    def _read(self) -> dict[str, list[str | None]]:
        """Name -> SHA-256 that its file may have; several, if we were killed during a write."""
        recorded: dict[str, list[str | None]] = {}
        for line in self._lines():
            if line.get("gone"):
                recorded.pop(line["name"], None)
            else:
                recorded.setdefault(line["name"], []).append(line.get("sha256"))
        return recorded

    def _lines(self) -> Iterator[dict[str, Any]]:
        """This maker's lines of the record; lines that cannot be read are left out."""
        if not os.path.lexists(self.record):
            return
        for text in read_regular(self.record, LARGEST_NBYTES, StorageError).splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                line = json.loads(text)
                if isinstance(line, dict) and line.get("maker") == self.maker:
                    name = line.get("name")
                    if isinstance(name, str) and stays_inside(name):
                        yield line


def stays_inside(name: str) -> bool:
    """Whether a name stays inside its folder: a record or an archive may come from anyone."""
    path = PurePosixPath(name)
    return not (path.is_absolute() or not path.parts or {"..", "\\", "\0"} & {*path.parts, *name})


def _digest(path: Path) -> str | None:
    try:
        with patiently(lambda: path.open("rb")) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
