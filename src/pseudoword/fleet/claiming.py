"""Which words a worker claims, and which claims of others it ends."""

import random
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from pseudoword.config import WorkConfig
from pseudoword.fleet import history
from pseudoword.fleet.history import Event
from pseudoword.fleet.life import SignOfLife, Watch
from pseudoword.fleet.queue import Claim, Queue
from pseudoword.progress import Progress
from pseudoword.runs.loaded_base import OF_BASE
from pseudoword.runs.runner import SHARED

TURN_SECONDS = 600.0
"""For how long words that can share packs are claimed while another one waits."""

LOOK_AHEAD = 8
"""How many words are read at a look to know which others wait; a queue may have many thousands."""


class Claiming:
    """The claims of one worker, and its view of the others."""

    def __init__(self, queue: Queue, worker: str, config: WorkConfig, progress: Progress) -> None:
        self._queue, self._worker, self._config, self._progress = queue, worker, config, progress
        self._watch = Watch(queue.store)
        self.loaded: str | None = None
        """the name of a job whose base model is in memory; None: none is"""
        self._kinds: dict[str, tuple[str, ...]] = {}
        """name of a job -> its values of `SHARED`"""
        self._once: dict[tuple[str, ...], tuple[str, ...]] = {}
        """these values, once for the many jobs that have the same"""
        self._without: dict[tuple[str, ...], str] = {}
        """the values of `OF_BASE` of base models that this worker cannot load -> why"""
        self._kind: tuple[str, ...] | None = None
        """the values of `SHARED` of the words that were claimed last"""
        self._others_since: float | None = None
        """since when a word is known to wait that cannot share a pack with them; None: none does"""

    def claim(self, most: int, like: Claim | None = None) -> Iterator[Claim]:
        """Claim waiting words that can share a pack; those for the loaded base model first.

        A word whose last try failed is claimed alone, so that it takes no other one with it. While
        there are always more words for a pack, it goes on; so once a word that cannot join it has
        waited for `TURN_SECONDS`, no further ones join it, and that word is next.

        Args:
            most: how many.
            like: one of the pack that they are to join.
        """
        histories = self._queue.histories()
        self._give_up_the_lost(histories)
        waiting = [name for name in histories if self._may_claim(name, histories[name])]
        random.shuffle(waiting)  # so that workers do not all try to claim the same one
        waiting.sort(key=lambda name: not history.is_alone(histories[name]))
        for name in islice((one for one in waiting if one not in self._kinds), LOOK_AHEAD):
            self._kind_of(name)
        others = [name for name in waiting if self._is_other(name, histories[name])]
        turn_is_over = self._turn_is_over(some_wait=bool(others))
        if turn_is_over and like is not None:
            return
        first = dict.fromkeys(others if turn_is_over else ())
        rest = [name for name in waiting if name not in first]
        count = 0
        kind = None if like is None else self._kind_of(like.name)
        for name in chain(first, self._loaded_first(rest)):
            alone = history.is_alone(histories[name])
            if kind is not None and (alone or self._kind_of(name) != kind):
                continue
            claim = self._queue.claim(name, self._worker, self._config.lease)
            if claim is None:
                continue
            kind = self._kind_of(name)
            if alone or kind != self._kind:
                self._kind, self._others_since = kind, None
            yield claim
            count += 1
            if alone or count == most:
                return

    def _is_other(self, name: str, events: Sequence[Event]) -> bool:
        """Whether a word is known that cannot join a pack of those that were claimed last."""
        known = name in self._kinds and self._kind is not None
        return history.is_alone(events) or (known and self._kind_of(name) != self._kind)

    def _turn_is_over(self, *, some_wait: bool) -> bool:
        """Whether others have waited long enough; `some_wait` as of now."""
        now = time.monotonic()
        if not some_wait:
            self._others_since = None
        elif self._others_since is None:
            self._others_since = now
        return self._others_since is not None and now - self._others_since >= TURN_SECONDS

    def bad(self, kind: history.Kind, name: str, events: Sequence[Event], why: str) -> Event:
        """The event of a bad end; the last of too many is a failure."""
        event = Event(kind=kind, step=self._queue.last_step(name), why=why)
        if history.bad_tries([*events, event]) >= self._config.tries:
            return event.model_copy(update={"kind": "failed"})
        return event

    def others_run(self) -> bool:
        """Whether there are words that are not done yet, here or elsewhere, and may be ours."""
        return any(
            history.state(events) == "running" or self._may_claim(name, events)
            for name, events in self._queue.histories().items()
        )

    def leave(self, name: str, why: str) -> None:
        """Claim no more words with the base model of this one, as it cannot be loaded here."""
        self._without[self._base_of(name)] = why

    def left(self) -> dict[str, str]:
        """The words that wait for a worker that can load their base model: name -> why."""
        return {
            name: self._without[self._base_of(name)]
            for name, events in self._queue.histories().items()
            if history.state(events) == "waiting" and not self._may_claim(name, events)
        }

    def _may_claim(self, name: str, events: Sequence[Event]) -> bool:
        """Whether a word waits, and its base model can be loaded here as far as is known."""
        if history.state(events) != "waiting":
            return False
        return not self._without or self._base_of(name) not in self._without

    def _base_of(self, name: str) -> tuple[str, ...]:
        """A job's values of `OF_BASE`, with which `SHARED` begins."""
        return self._kind_of(name)[: len(OF_BASE)]

    def _kind_of(self, name: str) -> tuple[str, ...]:
        """A job's values of `SHARED`. They never change, so each job is read once."""
        if name not in self._kinds:
            try:
                found = tomllib.loads(self._queue.settings(name))
            except ValueError:  # it is told when the job is opened, and may be mended then
                return ("",) * len(SHARED)
            values = tuple(str(found.get(setting)) for setting in SHARED)
            self._kinds[name] = self._once.setdefault(values, values)
        return self._kinds[name]

    def _loaded_first(self, names: Sequence[str]) -> Iterator[str]:
        """`names`, those for the loaded base model first; settings are read one by one."""
        loaded = None if self.loaded is None else self._base_of(self.loaded)
        others = []
        for name in names:
            if loaded in (None, self._base_of(name)):
                yield name
            else:
                others.append(name)
        yield from others

    def _give_up_the_lost(self, histories: Mapping[str, Sequence[Event]]) -> None:
        """End the claims of workers that have not given a sign of life for too long."""
        running = {
            name: events[-1]
            for name, events in histories.items()
            if history.state(events) == "running" and events[-1].worker != self._worker
        }
        workers = {event.worker for event in running.values()}
        silent = {worker: self._watch.silent_seconds(worker) for worker in workers}
        for name, event in running.items():
            if silent[event.worker] < event.lease_seconds:
                continue
            events = list(histories[name])
            why = f"its worker {event.worker} gave no sign of life for {event.lease_seconds:g} s"
            lost = self.bad("lost", name, events, why)
            SignOfLife(self._queue.store, event.worker).end()  # if it lives, it gives another one
            if self._queue.add(name, len(events) + 1, lost):
                self._progress.note(f"{name}: {why}")
