"""Requests to a run from outside while it trains: empty files in its folder.

A page, a script or `touch` writes `preview.request`, `save.request` or `stop.request`. After each
step, the run looks for them, removes them, and does what they ask. In a pack, they ask for one
word: where it stops, the others go on.
"""

from pathlib import Path
from typing import Literal, get_args

from pseudoword.files import patiently, write_errors

Request = Literal["preview", "save", "stop"]

REQUESTS: tuple[Request, ...] = get_args(Request)


def ask(folder: Path, request: Request) -> None:
    """Ask the run in `folder` to draw previews, to save its word, or to stop after this step.

    Raises:
        StorageError: the request cannot be written.
    """
    path = _file(folder, request)
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        patiently(path.touch)


def take(folder: Path) -> set[Request]:
    """The new requests to the run in `folder`. Each is returned once."""
    return {request for request in REQUESTS if take_one(folder, request)}


def take_one(folder: Path, request: Request) -> bool:
    """Whether there is a new request of this kind."""
    try:
        patiently(_file(folder, request).unlink)
    except OSError:  # there is none, or somebody else has taken it
        return False
    return True


def _file(folder: Path, request: Request) -> Path:
    return folder / f"{request}.request"
