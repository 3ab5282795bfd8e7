"""Where a queue lies: a folder, or a bucket that fsspec opens.

A queue needs three things of a store, and no lock, no clock and no rename: objects appear whole;
one that is there is never replaced by `create`, whoever else tries at the same instant; and what
was written is seen by all from then on. S3 has had them since it knows conditional writes
(`If-None-Match`), and a folder has them through hard links, over NFS too.
"""

import contextlib
import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pseudoword.errors import SettingsError, StorageError
from pseudoword.files import (
    WINDOWS,
    create_temporary,
    patiently,
    read_errors,
    remove,
    remove_abandoned,
    write_errors,
    write_whole,
)
from pseudoword.lookup import is_address, path_argument
from pseudoword.text import brief, reason

T = TypeVar("T")

_NO_LINKS = {errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What systems answer where a disk has no hard links."""


class Store(Protocol):
    """Objects by name; a name has `/` between its parts. All methods may be called from threads.

    All raise `StorageError` where the store cannot be reached, or refuses.
    """

    def read(self, name: str) -> bytes | None:
        """The object's bytes; None if there is none of this name."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Put an object there whole, unless there is one of this name already.

        Returns:
            Whether it was put there. Of several that try at once, one is told so.
        """
        ...

    def put(self, name: str, data: bytes) -> None:
        """Put an object there whole; replaces one of this name."""
        ...

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names of all objects in `folder` and in the folders in it, in order."""
        ...

    def times(self, folder: str) -> dict[str, datetime | None]:
        """As `names`, with when each was written by the clock of the store; None if it is silent.

        For people: a clock may be wrong, so nothing is decided by it.
        """
        ...


class PatientStore:
    """A store that is asked again where it does not answer, as long as somebody has patience."""

    def __init__(self, store: Store, again: Callable[[StorageError, float], bool]) -> None:
        """With `again`: given what went wrong, and since how many seconds, it waits and says
        whether to ask again."""
        self._store, self._again = store, again

    def read(self, name: str) -> bytes | None:
        """As in `Store`."""
        return self._ask(lambda: self._store.read(name))

    def create(self, name: str, data: bytes) -> bool:
        """As in `Store`, but false also where an earlier try was answered with an error only."""
        return self._ask(lambda: self._store.create(name, data))

    def put(self, name: str, data: bytes) -> None:
        """As in `Store`."""
        self._ask(lambda: self._store.put(name, data))

    def remove(self, name: str) -> None:
        """As in `Store`."""
        self._ask(lambda: self._store.remove(name))

    def names(self, folder: str) -> list[str]:
        """As in `Store`."""
        return self._ask(lambda: self._store.names(folder))

    def times(self, folder: str) -> dict[str, datetime | None]:
        """As in `Store`."""
        return self._ask(lambda: self._store.times(folder))

    def _ask(self, act: Callable[[], T]) -> T:
        began = time.monotonic()
        while True:
            try:
                return act()
            except StorageError as error:
                if not self._again(error, time.monotonic() - began):
                    raise


READERS = 16
"""How many objects are read at the same time: each may be far away."""


def read_all(store: Store, names: Sequence[str]) -> list[bytes | None]:
    """What `Store.read` returns for each of these names, in their order."""
    pool = ThreadPoolExecutor(READERS)
    try:
        return list(pool.map(store.read, names))
    finally:
        pool.shutdown(cancel_futures=True)


class FolderStore:
    """A folder of this machine, or one that several machines share.

    Once it was there, it is not made again: of one that was moved, nobody would miss what is put
    into a new one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._was_there = False
        self._tidied: set[Path] = set()

    def read(self, name: str) -> bytes | None:
        """As in `Store`."""
        path = self._folder / name
        with read_errors(path, StorageError):
            try:
                return patiently(path.read_bytes)
            except FileNotFoundError:
                self._check()
                return None

    def create(self, name: str, data: bytes) -> bool:
        """As in `Store`: the file is written under another name, and linked to its own."""
        path = self._folder / name
        self._check()
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._tidy(path.parent)
            descriptor, unfinished = create_temporary(path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                _link(unfinished, path)
            except FileExistsError:
                return False
            finally:
                remove(unfinished)
        return True

    def put(self, name: str, data: bytes) -> None:
        """As in `Store`."""
        self._check()
        self._tidy((self._folder / name).parent)
        write_whole(self._folder / name, data)

    def remove(self, name: str) -> None:
        """As in `Store`."""
        with write_errors(self._folder / name):
            remove(self._folder / name)

    def names(self, folder: str) -> list[str]:
        """As in `Store`; files that are being written are left out."""
        self._check()
        found = []
        with read_errors(self._folder / folder, StorageError):
            for inside, _, files in os.walk(self._folder / folder, onerror=_tell_unless_missing):
                here = Path(inside).relative_to(self._folder).as_posix()
                begin = "" if here == "." else f"{here}/"
                found += [f"{begin}{name}" for name in files if not name.startswith(".")]
        return sorted(found)

    def times(self, folder: str) -> dict[str, datetime | None]:
        """As in `Store`."""
        times: dict[str, datetime | None] = {}
        for name in self.names(folder):
            with read_errors(self._folder / name, StorageError):
                try:
                    seconds = (self._folder / name).stat().st_mtime
                except FileNotFoundError:  # removed meanwhile
                    continue
            times[name] = datetime.fromtimestamp(seconds, UTC)
        return times

    def _tidy(self, folder: Path) -> None:
        """Remove what killed processes left in `folder`, once."""
        if folder not in self._tidied:
            self._tidied.add(folder)
            remove_abandoned(folder, shared=True)

    def _check(self) -> None:
        """See that it is still there, if it was.

        Raises:
            StorageError: it is not.
        """
        if self._folder.is_dir():
            self._was_there = True
        elif self._was_there:
            raise StorageError(
                f"{self._folder} is not there any more. Was it moved, or its disk taken out? Give "
                "the place where it is now."
            )


def _tell_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _link(unfinished: str, path: Path) -> None:
    """Let a file be found at `path`, too, where none may be.

    Raises:
        FileExistsError: one is.
        StorageError: the disk has no hard links, as one in FAT or exFAT.
    """
    try:
        os.link(unfinished, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise StorageError(
            f"cannot write {path}: {reason(error)}. Its disk seems to have no hard links, without "
            "which two workers may claim one word. Choose a folder on another disk."
        ) from error


class BucketStore:
    """A part of a bucket, or of fsspec's memory of this process."""

    _one_at_a_time = threading.Lock()
    """fsspec's memory looks first and writes then, so only one thread may create at a time."""

    def __init__(self, address: str) -> None:
        import fsspec

        try:
            # other processes write here, too, so nothing of it may be remembered
            more: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
            more["max_concurrency"] = 1  # else each read asks for the size of the object first
            self._files, self._root = fsspec.core.url_to_fs(address, **more)
        except ImportError as error:
            raise SettingsError(
                f"{brief(address)} is in a bucket, which needs the extra fleet: pip install "
                '"pseudoword[fleet]".'
            ) from error
        self._in_memory = address.startswith("memory:")

    def read(self, name: str) -> bytes | None:
        """As in `Store`."""
        with self._told(name):
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        """As in `Store`: the store itself refuses if there is one."""
        lock = self._one_at_a_time if self._in_memory else contextlib.nullcontext()
        with self._told(name), lock:
            try:
                self._files.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
        return True

    def put(self, name: str, data: bytes) -> None:
        """As in `Store`."""
        with self._told(name):
            self._files.pipe_file(self._path(name), data)

    def remove(self, name: str) -> None:
        """As in `Store`."""
        with self._told(name), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def names(self, folder: str) -> list[str]:
        """As in `Store`."""
        return sorted(map(self._name, self._find(folder, detail=False)))

    def times(self, folder: str) -> dict[str, datetime | None]:
        """As in `Store`; the times come with the list of names."""
        found = self._find(folder, detail=True)
        return {self._name(path): _written(about) for path, about in sorted(found.items())}

    def _find(self, folder: str, *, detail: bool) -> Any:
        with self._told(folder):
            self._files.invalidate_cache()
            return self._files.find(self._path(folder), detail=detail)

    def _name(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of the library that reaches the bucket, whichever it is
            raise StorageError(
                f"{self._path(name)} cannot be reached: {reason(error)}. Check the bucket's name, "
                "and that the environment has the keys for it."
            ) from error


def _written(about: Mapping[str, Any]) -> datetime | None:
    """When an object was written, by what fsspec knows about it: from S3, or from its memory."""
    time = about.get("LastModified", about.get("created"))
    if isinstance(time, datetime):
        return time.astimezone(UTC)
    return None if time is None else datetime.fromtimestamp(time, UTC)


BUCKETS = ("s3", "s3a", "memory")
"""Protocols of fsspec that create atomically."""


def open_store(address: str | Path) -> Store:
    """Open the store at an address: a path, `file://…`, `s3://bucket/path` or `memory://…`.

    Raises:
        SettingsError: the address names no store that creates objects atomically.
    """
    text = str(address)
    protocol, sign, rest = text.partition("://")
    if not sign and is_address(Path(text)):
        raise SettingsError(f"{brief(text)}: write a bucket as s3://bucket/path, or give a folder.")
    if not sign or protocol == "file":
        # the path in file:///C:/queue is C:/queue
        place = rest[1:] if re.match("/[A-Za-z]:", rest) and WINDOWS else rest
        return FolderStore(path_argument(place if sign else text, "QUEUE"))
    if protocol not in BUCKETS:
        raise SettingsError(
            f"{brief(text)}: a queue lies in a folder or in a bucket of S3 (s3://bucket/path). "
            f"Of {brief(protocol)} it is not known that two workers cannot claim one word."
        )
    if not rest.strip("/") or "\0" in rest:
        raise SettingsError(f"{brief(text)} names no bucket. Write s3://bucket/path.")
    return BucketStore(text)
