"""What a run is asked for from outside while it trains: an empty file in its folder.

A page, a script or `touch` writes `preview.request`, `save.request` or `stop.request`; the run
looks after each step, takes the file away, and does as asked. `stop` in one folder of a pack stops
the pack.
"""

import contextlib
from pathlib import Path
from typing import Literal

from pseudoword.files import storage_error

Request = Literal["preview", "save", "stop"]

REQUESTS: tuple[Request, ...] = ("preview", "save", "stop")


def ask(folder: Path, request: Request) -> None:
    """Ask the run in `folder` to draw previews, to save its word, or to stop after this step.

    Raises:
        StorageError: the request cannot be written.
    """
    path = _file(folder, request)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise storage_error(path, error) from error


def take(folder: Path) -> set[Request]:
    """What the run in `folder` has been asked for since this was called last; it is told once."""
    found = set[Request]()
    for request in REQUESTS:
        with contextlib.suppress(OSError):  # mostly there is none
            _file(folder, request).unlink()
            found.add(request)
    return found


def _file(folder: Path, request: Request) -> Path:
    return folder / f"{request}.request"
