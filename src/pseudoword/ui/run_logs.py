"""What the log of a run tells, also while the run writes it."""

import contextlib
import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pseudoword.errors import StorageError
from pseudoword.files import open_regular, read_regular
from pseudoword.ui.job_files import state_of

LOG = "log.jsonl"

TAIL_NBYTES = 16 * 1024

LAST = 20
"""So many entries tell how fast it goes."""

MOST_TAILS, MOST_CURVES = 2048, 8
"""Of so many logs what was read is kept, as a page asks again and again."""

LARGEST_NBYTES = 256 * 1024 * 1024

MOST_POINTS = 1000
"""The most points of a curve."""

Point = tuple[int, float]
"""(step, value)"""


@dataclass(frozen=True)
class Curves:
    """What a run has logged; long curves are thinned."""

    loss: tuple[Point, ...] = ()
    evaluation: tuple[Point, ...] = ()
    held_out: tuple[Point, ...] = ()

    @classmethod
    def of(cls, path: Path) -> Self:
        """The curves of the log at `path` so far."""
        return cls(*_curves(path, state_of(path)))


def read_log(path: Path) -> list[Mapping[str, Any]]:
    """The entries of a run's log."""
    try:
        return _entries(read_regular(path, LARGEST_NBYTES, StorageError))
    except StorageError:
        return []


def last_entries(path: Path) -> Sequence[Mapping[str, Any]]:
    """The last entries of a run's log."""
    return _tail(path, state_of(path))


@functools.lru_cache(MOST_CURVES)
def _curves(path: Path, _state: object) -> Sequence[tuple[Point, ...]]:
    entries, columns = read_log(path), ("loss", "evaluation", "held_out")
    return [_thin([(e["step"], e[one]) for e in entries if one in e]) for one in columns]


@functools.lru_cache(MOST_TAILS)
def _tail(path: Path, _state: object) -> Sequence[Mapping[str, Any]]:
    try:
        with open_regular(path, StorageError) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_NBYTES))
            return _entries(file.read(TAIL_NBYTES))[-LAST:]
    except (StorageError, OSError):
        return []


def _entries(text: bytes) -> list[Mapping[str, Any]]:
    """The entries in lines of a log; a line that is cut off is left out."""
    entries: list[Mapping[str, Any]] = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                entries.append(entry)
    return entries


def seconds_per_step(entries: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds that a step took; None: no entry tells."""
    seconds = sorted(float(e["seconds"]) for e in entries if "seconds" in e)
    return seconds[len(seconds) // 2] if seconds else None


def _thin(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most so many points as a chart shows; the last is always among them."""
    points = [point for point in points if math.isfinite(point[1])]
    stride = -(-len(points) // MOST_POINTS) or 1
    return tuple(points[::-1][::stride][::-1])
