"""Files that appear whole or not at all, and folders that one run holds at a time."""

import contextlib
import errno
import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pseudoword.errors import PseudowordError, RunFolderError, StorageError

_READ_AT_ONCE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def open_regular(path: Path, error: type[PseudowordError]) -> BinaryIO:
    """Open a regular file, or the one that a link leads to, for reading.

    A pipe is never waited for, and a device or an endless file never read.

    Raises:
        PseudowordError: of the kind `error`: it cannot be read; one sentence says why.
    """
    try:
        reason = _unlike_a_file(path.stat().st_mode)  # to open some devices does something
        if not reason:
            file = os.fdopen(os.open(path, _READ_AT_ONCE), "rb")
            reason = _unlike_a_file(os.stat(file.fileno()).st_mode)
            if not reason:
                return file
            file.close()
    except OSError as problem:
        reason = problem.strerror or str(problem)
    except ValueError:  # a zero byte, or half a surrogate
        raise error(f"{str(path)!r} cannot be read: no file has such a name.") from None
    raise error(f"{path} cannot be read: {reason}.")


def read_regular(path: Path, most_nbytes: int, error: type[PseudowordError]) -> bytes:
    """All bytes of a regular file, or of the one that a link leads to.

    Args:
        path: the file.
        most_nbytes: a larger file is not read at all.
        error: what to raise.

    Raises:
        PseudowordError: of the kind `error`: it cannot be read; one sentence says why.
    """
    with open_regular(path, error) as file:
        try:
            nbytes = os.stat(file.fileno()).st_size
            if nbytes <= most_nbytes:
                return file.read(nbytes)
        except OSError as problem:
            raise error(f"{path} cannot be read: {problem.strerror or problem}.") from problem
    raise error(
        f"{path} cannot be read: it has {_told(nbytes)}; at most {_told(most_nbytes)} are read."
    )


def _unlike_a_file(mode: int) -> str:
    """What has this mode, if it is no regular file; else nothing."""
    kinds = {
        stat.S_ISDIR: "it is a folder",
        stat.S_ISFIFO: "it is a pipe, not a file",
        stat.S_ISSOCK: "it is a socket, not a file",
        stat.S_ISCHR: "it is a device, not a file",
        stat.S_ISBLK: "it is a device, not a file",
    }
    return next((kind for is_one, kind in kinds.items() if is_one(mode)), "")


def _told(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.0f} MB" if nbytes >= 1e6 else f"{nbytes / 1e3:,.0f} kB"


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one.

    Raises:
        StorageError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def file_stem(token: str) -> str:
    """A token as the name of a file: letters, digits and `._-`, never a path."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in token).strip("-.")
    return name[:100] or "concept"


def cache_folder() -> Path:
    """Where what can be made again is kept: `$PSEUDOWORD_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("PSEUDOWORD_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pseudoword"


def storage_error(path: Path, error: OSError) -> StorageError:
    """Explain a failed write in terms of what the user can do about it."""
    if error.errno in _FULL:
        advice = "The disk is full. Free some space and run the same command again: it resumes."
    elif isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        advice = "A file and a folder are in each other's way. Choose another path."
    else:
        advice = "Check the permissions, or choose another folder."
    return StorageError(f"cannot write {path}: {error.strerror or error}. {advice}")


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the operating system lets go when the process ends.

    Raises:
        RunFolderError: another live process holds it; the message says which.
    """
    from filelock import FileLock, Timeout

    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise RunFolderError(
            f"{folder} is in use by another run ({_holder(folder)}). "
            "Wait for it, stop it, or choose another --out."
        ) from None
    except OSError as error:
        raise storage_error(folder, error) from error
    note = folder / ".holder.json"
    try:
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
        write_whole(note, json.dumps(who).encode())
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()
        if not existed and [p.name for p in folder.iterdir()] in ([], [".lock"]):
            shutil.rmtree(folder, ignore_errors=True)  # nothing came of it: leave nothing behind


def _holder(folder: Path) -> str:
    try:
        who = json.loads((folder / ".holder.json").read_bytes())
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError):
        return "it has just started"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there, and rename is already durable enough
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
