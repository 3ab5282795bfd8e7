"""Folders in which workers unpack words. Those of killed workers are removed by the next one."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pseudoword import locks
from pseudoword.errors import PseudowordError

PREFIX = "pseudoword-work-"

YOUNG_SECONDS = 60.0
"""A folder may be locked a moment after it is made; until then it seems to be nobody's."""


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder, locked while it is in use and then removed; abandoned ones are removed, too."""
    remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, locks.lock_folder(Path(name)):
        yield Path(name)


def remove_abandoned() -> None:
    """Remove the folders of workers that are no more: the system has unlocked them."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(PseudowordError, OSError):
            young = time.time() - path.stat().st_mtime < YOUNG_SECONDS
            if young or not (path / locks.LOCK).is_file():
                continue
            with locks.lock_folder(path):
                shutil.rmtree(path, ignore_errors=True)
