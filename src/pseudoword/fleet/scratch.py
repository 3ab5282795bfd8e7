"""Folders in which archives are unpacked. Those of killed processes are removed by the next one."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pseudoword import locks
from pseudoword.errors import PseudowordError
from pseudoword.files import write_errors

PREFIX = ".pseudoword-work-"

YOUNG_SECONDS = 60.0
"""A folder may be locked a moment after it is made; until then it seems to be nobody's."""


@contextmanager
def folder(where: Path | None = None) -> Iterator[Path]:
    """A new folder, locked while it is in use and then removed; abandoned ones are removed, too.

    Args:
        where: the folder that it is in; by default that of the system for such folders.

    Raises:
        StorageError: it cannot be made.
    """
    where = where or Path(tempfile.gettempdir())
    remove_abandoned(where)
    with write_errors(where):
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
    try:
        with locks.lock_folder(made):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if made.is_dir():  # a file is still open, on Windows: a later one is to remove it
            with suppress(OSError):
                (made / locks.LOCK).touch()


def remove_abandoned(where: Path) -> None:
    """Remove the folders of processes that are no more: the system has unlocked them."""
    for path in where.glob(f"{PREFIX}*"):
        with suppress(PseudowordError, OSError):
            young = time.time() - path.stat().st_mtime < YOUNG_SECONDS
            if young or not (path / locks.LOCK).is_file():
                continue
            with locks.lock_folder(path):
                shutil.rmtree(path, ignore_errors=True)
            path.rmdir()  # on Windows, its lock was open until now
