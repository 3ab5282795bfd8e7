"""How far a training is, in a file that a page reads."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from pseudoword.errors import PseudowordError
from pseudoword.files import write_whole

WRITE_EVERY_S = 0.5

MOST_NOTES = 200


class FileProgress:
    """A `Progress` that writes how far it is to a file.

    That has `{"began", "phase", "done", "total", "ends", "soonest", "notes"}`. `done` and `total`
    are those of the phase; `ends` is when it ends, or may first, and at the latest, in seconds
    since 1970; `soonest` the step after which it may. It never raises: no training fails for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: dict[str, Any] = {"began": time.time(), "phase": "", "done": 0, "total": 0}
        self._told["notes"] = []
        self._written = 0.0

    def phase(self, text: str) -> None:
        """Something begins."""
        self._told |= {"phase": text, "done": 0, "total": 0}
        self._write()

    def advance(self, done: int, total: int, detail: str = "") -> None:  # noqa: ARG002
        """Written twice a second at most."""
        self._told |= {"done": done, "total": total}
        if done == total or time.monotonic() - self._written > WRITE_EVERY_S:
            self._write()

    def note(self, text: str) -> None:
        """Kept, the same one once."""
        notes = self._told["notes"]
        if text not in notes and len(notes) < MOST_NOTES:
            notes.append(text)
            self._write()

    def foretold(self, least_s: float, most_s: float) -> None:
        """It ends in so many seconds; the last one counts."""
        now = time.time()
        self._told["ends"] = [now + least_s, now + most_s]
        self._write()

    def soonest(self, step: int) -> None:
        """It ends after this step, or may end first; the last one counts."""
        self._told["soonest"] = step
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        with contextlib.suppress(PseudowordError):
            write_whole(self._path, json.dumps(self._told).encode())
