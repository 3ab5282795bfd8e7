"""What there is in a queue, for people, told from its store alone."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel

from pseudoword.fleet import history
from pseudoword.fleet.history import State
from pseudoword.fleet.life import is_gone
from pseudoword.fleet.queue import Queue, event_name

HOUR = timedelta(hours=1)

ENOUGH = 3
"""How many words must be done before it is said how many are done in an hour."""

_NUMBERED = re.compile(r"\S*\d\S*")
"""A number, or a name with one in it, as those of workers and pictures mostly are."""


class QueuedWord(BaseModel):
    """One word of a queue. Times are those of the store's clock."""

    name: str
    """of the job"""
    state: State
    since: datetime | None = None
    """when it came into this state; None if nothing has happened to it yet"""
    worker: str = ""
    """who learns it now"""
    claimed: datetime | None = None
    """when a worker claimed it last"""
    step: int = 0
    """of its last checkpoint in the queue; 0 if there is none"""
    tries: int = 0
    """how often it was claimed"""
    why: str = ""
    """of one that waits or failed: what went wrong last; of one that is stale: that it is"""
    stale: bool = False
    """its worker is gone, so it will be claimed by another one"""


def view(queue: Queue) -> list[QueuedWord]:
    """All words of a queue, by name."""
    words = []
    gone: dict[str, bool] = {}
    times, steps = queue.store.times("events"), queue.last_steps()
    for name, events in sorted(queue.histories(times).items()):
        state = history.state(events)
        claims = [number for number, event in enumerate(events, 1) if event.kind == "claimed"]
        worker = events[-1].worker if state == "running" else ""
        if worker not in gone:
            gone[worker] = bool(worker) and is_gone(queue.store, worker)
        why = history.last_reason(events) if state in ("waiting", "failed") else ""
        words.append(
            QueuedWord(
                name=name,
                state=state,
                since=times.get(event_name(name, len(events))),
                worker=worker,
                claimed=times.get(event_name(name, claims[-1])) if claims else None,
                step=steps.get(name, 0),
                tries=len(claims),
                why="its worker is gone; another one will go on" if gone[worker] else why,
                stale=gone[worker],
            )
        )
    return words


def done_since(words: Sequence[QueuedWord], time: datetime) -> list[QueuedWord]:
    """Those that are done, and were not at `time`."""
    return [word for word in words if word.state == "done" and word.since and word.since > time]


def words_an_hour(words: Sequence[QueuedWord], now: datetime) -> float | None:
    """How many words of a queue are done in an hour, by those of the last one.

    It begins with the first claim of these, where that was later: a worker that has just begun, or
    begins again in the morning, is not counted as one that did nothing before.

    Returns:
        None where too few are done, and where no worker goes on.
    """
    recent = done_since(words, now - HOUR)
    goes_on = any(word.state == "running" and not word.stale for word in words)
    if len(recent) < ENOUGH or not goes_on:
        return None
    began = max(now - HOUR, min(word.claimed or now - HOUR for word in recent))
    return len(recent) * (HOUR / max(now - began, timedelta(seconds=1)))


class Reason(NamedTuple):
    """What went wrong with some words of a queue."""

    state: State
    """failed, or waiting to be tried again"""
    why: str
    names: list[str]


def reasons(words: Sequence[QueuedWord]) -> list[Reason]:
    """What went wrong with words that wait or failed; that of most words first.

    Reasons that differ in numbers only, or in names with a number, are one: with … in their place.
    """
    alike: dict[tuple[State, str], list[QueuedWord]] = {}
    for word in words:
        if word.why and not word.stale:
            alike.setdefault((word.state, _NUMBERED.sub("…", word.why)), []).append(word)
    found = []
    for (state, why), some in alike.items():
        same = all(word.why == some[0].why for word in some)
        found.append(Reason(state, some[0].why if same else why, [word.name for word in some]))
    return sorted(found, key=lambda reason: -len(reason.names))
