"""What is there already: no output replaces what its maker did not write, unless it is told to.

A file on its own is written if its name is free, or if it holds the same bytes. A folder of ours
keeps a record, `.pseudoword.jsonl`, of what was written into it: maker, name and SHA-256, a line
for each write, and put down before it, so that no kill leaves a file of ours that is not known.
What is not there as it was recorded is somebody's: put there, changed, or damaged since.
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
    create_temporary,
    read_regular,
    remove_abandoned,
    storage_error,
    write_whole,
)

RECORD = ".pseudoword.jsonl"

LARGEST_NBYTES = 256 * 1024 * 1024
"""No record is longer."""


def check_writable(*paths: Path) -> None:
    """Find out before any work whether files can be written, without writing them.

    Raises:
        StorageError: a folder cannot be made or written to, a name is too long, or something that
            is no file is in its place.
    """
    for path in paths:
        with _as_storage_error(path), contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):
                raise IsADirectoryError(errno.EISDIR, "it is there, and is no file")
    for path in {path.parent: path for path in paths}.values():
        with _as_storage_error(path):
            folder = path.parent
            while not folder.exists():
                folder = folder.parent
            remove_abandoned(folder)
            descriptor, probe = create_temporary(folder)
            os.close(descriptor)
            Path(probe).unlink()


@contextlib.contextmanager
def _as_storage_error(path: Path) -> Iterator[None]:
    try:
        for name in path.parts:
            if len(os.fsencode(name)) > NAME_NBYTES:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        yield
    except OSError as error:
        raise storage_error(path, error) from error
    except ValueError:  # a zero byte, or half a surrogate
        raise StorageError(f"cannot write {str(path)!r}: no file has such a name") from None


def check_free(paths: Iterable[Path], *, overwrite: bool = False) -> None:
    """Find out before any work whether files can be written without replacing one.

    Raises:
        StorageError: as `check_writable`; or one is there, and is not to be overwritten.
    """
    several = list(paths)
    check_writable(*several)
    there = [path for path in several if os.path.lexists(path)]
    if there and not overwrite:
        raise StorageError(would_replace(there))


def has_content(path: Path, data: bytes) -> bool:
    """Whether `path` is a file with just these bytes."""
    try:
        return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def write_new(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write `data` to `path`, unless it is there with other bytes; with the same, nothing is done.

    Raises:
        StorageError: it is there and not to be overwritten, or cannot be written.
    """
    if not has_content(path, data):
        write_whole(path, data, replace=overwrite)


def would_replace(paths: Sequence[Path]) -> str:
    """What to tell of files that would be replaced."""
    shown = ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3} more" * (len(paths) > 3))
    they, them, are = ("it", "it", "is") if len(paths) == 1 else ("they", "them", "are")
    return (
        f"{shown} {are} there already and would be replaced, but this command did not write "
        f"{them}, or not as {they} {are} now. Choose another output, or add --overwrite."
    )


def next_free(first: Path, files: Callable[[Path], Iterable[Path]] = lambda path: [path]) -> Path:
    """`first`, or the same name with the first number behind it of which no file is there.

    Args:
        first: the name to try first; then `NAME-2`, `NAME-3` …
        files: all that is written for a name.
    """
    for number in itertools.count(1):
        path = first if number == 1 else first.with_name(f"{first.stem}-{number}{first.suffix}")
        if not any(os.path.lexists(file) for file in files(path)):
            return path
    raise AssertionError


def maker_of(command: str, *of: str | Path) -> str:
    """Who writes: a command, on these files, folders or words; without telling where they are."""
    told = "\0".join(str(one.resolve() if isinstance(one, Path) else one) for one in of)
    return f"{command} {hashlib.blake2b(told.encode(errors='replace'), digest_size=8).hexdigest()}"


def check_not_input(out: Path, pictures: Iterable[Path]) -> None:
    """Refuse a folder for outputs from which pictures are read, or masks.

    Raises:
        SettingsError: what is written into it would be taken for one of them.
    """
    for folder in pictures:
        for read in (folder, folder / "masks"):
            if out.is_dir() and read.is_dir() and out.samefile(read):
                raise SettingsError(
                    f"--out {out} is where pictures are read from, and what is written there would "
                    "be taken for one of them; choose another folder"
                )


class Outputs:
    """What one maker writes into one folder, and what it has written there before.

    Names are relative to the folder, with `/` between their parts.
    """

    def __init__(self, folder: Path, maker: str) -> None:
        self.folder, self.maker = folder, maker
        self.record = folder / RECORD

    def write(self, name: str, data: bytes) -> Path:
        """Write a file, whole or not at all, over whatever is there.

        Raises:
            StorageError: it cannot be written.
        """
        self._note(name, sha256=hashlib.sha256(data).hexdigest())
        write_whole(self.folder / name, data)
        return self.folder / name

    def register(self, name: str) -> Path:
        """Take note of a file that will be written to bit by bit: it is ours whatever it holds."""
        self._note(name, sha256=None)
        return self.folder / name

    def rename(self, name: str, to: str) -> None:
        """Give one of our files another name."""
        self._note(to, sha256=_digest(self.folder / name))
        (self.folder / name).replace(self.folder / to)
        self._note(name, gone=True)

    def remove(self, *names: str) -> None:
        """Remove those of the files that are ours."""
        for name in self.owned(names):
            (self.folder / name).unlink(missing_ok=True)
            self._note(name, gone=True)

    def adopt(self, names: Iterable[str]) -> None:
        """Take files that are there, and have no record, for ours."""
        for name in names:
            if (self.folder / name).is_file():
                self._note(name, sha256=_digest(self.folder / name))

    def has_written(self) -> bool:
        """Whether the record knows this maker at all."""
        return any(True for _ in self._lines())

    def recorded(self) -> list[str]:
        """The names that are ours, whether the files are still there as we left them or not."""
        return list(self._read())

    def owned(self, names: Iterable[str] | None = None) -> list[str]:
        """Those of the files called `names`, or of all, that are there just as we wrote them."""
        known = self._read()
        return [
            name
            for name in (known if names is None else names)
            if name in known and self._is_ours(name, known[name])
        ]

    def foreign(self, names: Iterable[str]) -> list[Path]:
        """Those of the files called `names` that are there, but not as we wrote them."""
        known = self._read()
        return [
            self.folder / name
            for name in names
            if os.path.lexists(self.folder / name) and not self._is_ours(name, known.get(name, ()))
        ]

    def check(self, names: Iterable[str], *, overwrite: bool = False) -> None:
        """Find out before any work whether files can be written, and lose nothing of anyone's.

        Raises:
            StorageError: a file cannot be written, or is somebody's and not to be overwritten.
        """
        several = list(names)
        check_writable(*(self.folder / name for name in several))
        if not overwrite and (found := self.foreign(several)):
            raise StorageError(would_replace(found))

    def _is_ours(self, name: str, digests: Sequence[str | None]) -> bool:
        path = self.folder / name
        return path.is_file() and (None in digests or _digest(path) in digests)

    def _note(self, name: str, **facts: Any) -> None:
        line = json.dumps({"maker": self.maker, "name": name, **facts})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.record.open("ab") as file:
                file.write(f"\n{line}".encode())  # a line that was cut off spoils none but itself
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise storage_error(self.record, error) from error

    def _read(self) -> dict[str, list[str | None]]:
        """Name -> what its file may hold; more than one thing, if we were killed in between."""
        known: dict[str, list[str | None]] = {}
        for line in self._lines():
            if line.get("gone"):
                known.pop(line["name"], None)
            else:
                known.setdefault(line["name"], []).append(line.get("sha256"))
        return known

    def _lines(self) -> Iterator[dict[str, Any]]:
        """What the record holds of this maker; what cannot be read is nobody's."""
        if not os.path.lexists(self.record):
            return
        for text in read_regular(self.record, LARGEST_NBYTES, StorageError).splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                line = json.loads(text)
                if isinstance(line, dict) and line.get("maker") == self.maker:
                    name = line.get("name")
                    if isinstance(name, str) and _stays_inside(name):
                        yield line


def _stays_inside(name: str) -> bool:
    """Records travel with their folders, and so may come from anyone."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and not {"..", "\\"} & {*path.parts, *name}


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
