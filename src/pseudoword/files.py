"""Files that are written whole or not at all, and read only if they are files."""

import contextlib
import errno
import hashlib
import os
import re
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import platformdirs

from pseudoword.errors import PseudowordError, StorageError

T = TypeVar("T")

WINDOWS = os.name == "nt"

PATIENCE_S, PAUSE_S = 2.0, 0.01
"""How long to wait, on Windows, for whoever has a file open, and from one try to the next."""

_NONBLOCKING_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_SYNC = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems answer that cannot sync a folder, such as some in a network."""
_CHECKSUM = re.compile(rb"pseudoword sha256 ([0-9a-f]{64})\n")

_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[1-9¹²³])(\..*)?", re.IGNORECASE)
"""Names that no file can have on Windows, whatever its ending."""

_NOT_ON_WINDOWS = frozenset('<>:"|?*')
"""Letters that are in no name there; what follows a colon is hidden in another file."""

_HOST = hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
_TEMPORARY = re.compile(r"\.pseudoword-([0-9a-f]{8})-(\d+)-[a-z0-9_]{8}\.tmp")
"""The name of a file while it is being written: machine, process, random letters. Its length does
not depend on the final name, so the final name may be as long as a folder allows."""

_ABANDONED_S, _ABANDONED_IN_OURS_S = 3600, 60
"""An unfinished file that is older than this is removed: in any folder, and in a locked one."""

NAME_NBYTES, STEM_NBYTES = 255, 100
"""The longest name that a folder allows, and the longest that is made from a token."""


def open_regular(path: Path, error: type[PseudowordError]) -> BinaryIO:
    """Open a regular file (or the target of a link) for reading.

    Does not wait for pipes, and does not open devices.

    Raises:
        PseudowordError: `error`: it cannot be read; the message says why.
    """
    try:
        reason = _not_regular(path.stat().st_mode)  # opening some devices has effects
        if not reason:
            file = os.fdopen(patiently(lambda: os.open(path, _NONBLOCKING_READ)), "rb")
            reason = _not_regular(os.stat(file.fileno()).st_mode)
            if not reason:
                return file
            file.close()
    except OSError as problem:
        reason = problem.strerror or str(problem)
    except ValueError:  # a zero byte, or half a surrogate
        raise error(f"{str(path)!r} cannot be read: no file can have this name.") from None
    raise error(f"{path} cannot be read: {reason}.")


@contextlib.contextmanager
def read_errors(path: Path, error: type[PseudowordError]) -> Iterator[None]:
    """Turn each `OSError` into an `error` that says that `path` cannot be read, and why."""
    try:
        yield
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror or problem}.") from problem


@contextlib.contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn each `OSError` into an error that says that `path` cannot be written, and why."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def read_regular(path: Path, most_nbytes: int, error: type[PseudowordError]) -> bytes:
    """All bytes of a regular file, or of the target of a link.

    Args:
        path: the file.
        most_nbytes: a larger file is not read.
        error: the class of errors to raise.

    Raises:
        PseudowordError: `error`: it cannot be read; the message says why.
    """
    with open_regular(path, error) as file, read_errors(path, error):
        nbytes = os.stat(file.fileno()).st_size
        if nbytes <= most_nbytes:
            return file.read(nbytes)
    raise error(
        f"{path} cannot be read: it has {_size_text(nbytes)}; at most "
        f"{_size_text(most_nbytes)} are read."
    )


def _not_regular(mode: int) -> str:
    """What a file with this mode is, if it is not a regular file; or an empty text."""
    kinds = {
        stat.S_ISDIR: "it is a folder",
        stat.S_ISFIFO: "it is a pipe, not a file",
        stat.S_ISSOCK: "it is a socket, not a file",
        stat.S_ISCHR: "it is a device, not a file",
        stat.S_ISBLK: "it is a device, not a file",
    }
    return next((text for matches, text in kinds.items() if matches(mode)), "")


def _size_text(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.0f} MB" if nbytes >= 1e6 else f"{nbytes / 1e3:,.0f} kB"


def in_order(folder: Path) -> list[Path]:
    """What is in a folder, in one order on all systems: Windows itself sorts paths without case.

    The order of pictures counts for what is learned from them.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(folder.iterdir(), key=lambda path: path.name)


def write_whole(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write a file in one step: a reader sees the old file or the new one, also after a crash.

    Args:
        path: the file.
        data: its contents.
        replace: whether an existing file may be replaced.

    Raises:
        StorageError: the disk is full, the folder cannot be written to, or the file exists and must
            not be replaced; it is unchanged.
    """
    unfinished: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = create_temporary(path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace or not _link(unfinished, path):
            move(unfinished, path)
            unfinished = None
        _sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        if unfinished is not None:
            with contextlib.suppress(OSError):
                remove(unfinished)


def patiently(do: Callable[[], T]) -> T:
    """What `do` returns, which opens, moves or removes a file.

    Windows refuses that while another process has the file open: a page that reads what a training
    writes, or a virus scanner. None of them takes long, so it is tried again for a while.

    Raises:
        OSError: as `do`.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return do()
        except PermissionError:
            if not WINDOWS or time.monotonic() > until:
                raise
        time.sleep(PAUSE_S)


def move(path: str | Path, to: str | Path) -> None:
    """Move a file or folder; a file in its place is replaced.

    Raises:
        OSError: it cannot be moved.
    """
    patiently(lambda: os.replace(path, to))


def remove(path: str | Path) -> None:
    """Remove a file, if it is there.

    Raises:
        OSError: it cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        patiently(lambda: os.unlink(path))


def create_temporary(folder: Path) -> tuple[int, str]:
    """Open a new file in `folder`, to be renamed when it is whole: its descriptor and path.

    It may be read by those who may read other files of this user.
    """
    prefix = f".pseudoword-{_HOST}-{os.getpid()}-"
    descriptor, path = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=".tmp")
    with contextlib.suppress(OSError):  # FAT has no such permissions
        os.chmod(path, 0o666 & ~_umask())
    return descriptor, path


def _link(unfinished: str, path: Path) -> bool:
    """Link a file to a path that must not exist; False if the file system has no hard links."""
    try:
        os.link(unfinished, path)
    except OSError:
        if os.path.lexists(path):
            raise StorageError(
                f"{path} is there already. Choose another output, or add --overwrite to replace it."
            ) from None
        return False
    return True


def remove_abandoned(folder: Path, *, ours: bool = False, shared: bool = False) -> None:
    """Remove unfinished files of processes that were killed.

    Their names tell the process. Files of other machines are removed when they are old enough.

    Args:
        folder: to clean up; the folders in it are not.
        ours: whether it is a run's folder that we have locked.
        shared: whether processes write there that we may not see, as those of another container
            with this host's name. Then files of the last minute stay.
    """
    with contextlib.suppress(OSError):
        named = [(entry, _TEMPORARY.fullmatch(entry.name)) for entry in os.scandir(folder)]
        found = [(entry, match) for entry, match in named if match]
        now = _time_in(folder) if found else 0.0
        for entry, match in found:
            with contextlib.suppress(OSError):  # of one that is whole or gone meanwhile
                if not _being_written(match, now, entry, ours, shared):
                    os.unlink(entry.path)


def _being_written(
    name: re.Match[str], now: float, entry: os.DirEntry[str], ours: bool, shared: bool
) -> bool:
    host, pid = name[1], int(name[2])
    age_s = now - entry.stat(follow_symlinks=False).st_mtime
    if host == _HOST and not WINDOWS:
        if pid == os.getpid() and ours:  # from an earlier process with our number
            return False
        if not is_running(pid):
            return shared and age_s < _ABANDONED_IN_OURS_S
    return age_s < (_ABANDONED_IN_OURS_S if ours else _ABANDONED_S)


def is_running(pid: int) -> bool:
    """Whether this machine has such a process. Not for Windows, where to ask is to end it."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # a process of another user
        pass
    return True


def _time_in(folder: Path) -> float:
    """What time it is by the clock that dates the files there: a shared folder has its server's."""
    try:
        descriptor, path = create_temporary(folder)
    except OSError:  # of a disk that is full; what is removed makes room
        return time.time()
    try:
        return os.stat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        remove(path)


def with_checksum(data: bytes) -> bytes:
    """`data` with its SHA-256 in front."""
    return b"pseudoword sha256 %s\n%s" % (hashlib.sha256(data).hexdigest().encode(), data)


def without_checksum(data: bytes) -> bytes | None:
    """The data that `with_checksum` was given; None if the checksum is missing or wrong."""
    match = _CHECKSUM.match(data)
    if match is None:
        return None
    inside = data[match.end() :]
    return inside if hashlib.sha256(inside).hexdigest().encode() == match[1] else None


def file_stem(token: str) -> str:
    """A file name for a token: letters, digits and `._-`, at most 100 bytes, never a path.

    A name that had to be shortened, or has letters that file names cannot have on this system, ends
    in letters of a checksum; so does `concept`, for a token of signs or emoji only, and a name that
    Windows keeps for devices, such as `con`. Tokens that differ in other signs only, such as
    `<cat>` and `cat`, share a name.
    """
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in token).strip("-.")
    here = name.encode(sys.getfilesystemencoding(), "ignore").decode(sys.getfilesystemencoding())
    is_device = _DEVICE.fullmatch(name)
    if name and here == name and len(name.encode()) <= STEM_NBYTES and not is_device:
        return name
    end = f"-{hashlib.blake2b(token.encode(errors='replace'), digest_size=4).hexdigest()}"
    stem = (here.replace(".", "-") if is_device else here) if name else "concept"
    return (stem.encode()[: STEM_NBYTES - len(end)].decode(errors="ignore") + end).strip("-.")


def unfit_for_windows(parts: Iterable[str]) -> str:
    """Why no file on Windows can have these names; empty if it can."""
    for name in parts:
        if _DEVICE.fullmatch(name.rstrip(". ")):
            return f"Windows keeps the name {name} for a device"
        if letters := sorted({*name} & _NOT_ON_WINDOWS):
            return f"names on Windows have no {' '.join(letters)}"
    return ""


def cache_folder() -> Path:
    """The cache folder: `$PSEUDOWORD_CACHE`, or else the user's cache folder."""
    chosen = os.environ.get("PSEUDOWORD_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("pseudoword", appauthor=False)


def storage_error(path: Path, error: OSError) -> StorageError:
    """An error that explains a failed write, with what the user can do."""
    if error.errno in _DISK_FULL:
        advice = (
            "The disk is full. Free some space and run the same command again; what was saved is "
            "kept."
        )
    elif isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        advice = "A file has the name of a folder, or a folder that of a file. Choose another path."
    elif isinstance(error, FileNotFoundError):
        advice = (
            "Its folder is not there, or no longer. Move it back and run the same command again, "
            "or choose another folder."
        )
    elif error.errno == errno.EFBIG:
        advice = (
            "No larger file is allowed here (ulimit -f), or the disk cannot hold one. Allow larger "
            "files, or choose another folder; what was saved is kept."
        )
    elif WINDOWS and isinstance(error, PermissionError):
        advice = "Close it in other programs, check the permissions, or choose another folder."
    elif error.errno == errno.ENAMETOOLONG:
        advice = "Choose a shorter name."
    else:
        advice = "Check the permissions, or choose another folder."
    return StorageError(f"cannot write {path}: {error.strerror or error}. {advice}")


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    if WINDOWS:  # folders cannot be opened there
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it may be written to, and not be listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
