"""Folders that only one process uses at a time."""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pseudoword.errors import RunFolderError, StorageError
from pseudoword.files import patiently, remove, storage_error, write_whole

LOCK, HOLDER = ".pseudoword.lock", ".pseudoword.holder.json"


@contextlib.contextmanager
def lock_folder(folder: Path, patience_s: float = 0.0) -> Iterator[None]:
    """Lock `folder` for this process. The operating system unlocks it when the process ends.

    Raises:
        RunFolderError: another process has locked it, all the seconds that it was waited for; the
            message says which.
    """
    from filelock import FileLock, Timeout

    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=patience_s)
    except Timeout:
        raise RunFolderError(
            f"{folder} is in use by another run ({_holder_text(folder)}). "
            "Wait for it, stop it, or choose another --out."
        ) from None
    except OSError as error:
        raise storage_error(folder, error) from error
    note = folder / HOLDER
    try:
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now_text()}
        with contextlib.suppress(StorageError):  # of a full disk, on which the lock works, too
            write_whole(note, json.dumps(who).encode())
        yield
    finally:
        with contextlib.suppress(OSError):  # a note that stays is replaced by the next holder
            remove(note)
        lock.release()
        with contextlib.suppress(OSError):  # it is gone, or somebody else uses one above it
            if made and [p.name for p in folder.iterdir()] in ([], [LOCK]):
                shutil.rmtree(folder, ignore_errors=True)  # nothing was written: leave none empty
                for parent in made[1:]:
                    parent.rmdir()


def is_locked(folder: Path) -> bool:
    """Whether a process has locked `folder`. Locks it for a moment to find out."""
    from filelock import FileLock, Timeout

    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _holder_text(folder: Path) -> str:
    try:
        who = json.loads(patiently((folder / HOLDER).read_bytes))
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has just started"


def _now_text() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
