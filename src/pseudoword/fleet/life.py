"""Signs of life of workers: a counter that goes on, as long as its worker does.

Nobody compares clocks. Whoever wants to know whether a worker is alive looks at its counter twice,
and counts the seconds between on a clock of its own.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable

from pseudoword.files import WINDOWS, file_stem, is_running
from pseudoword.fleet.stores import Store


def new_name() -> str:
    """A name for a worker in this process, which tells where it is."""
    return f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def is_gone(store: Store, worker: str) -> bool:
    """Whether a worker can be seen to be gone at once: of this machine, or with its counter.

    Others are seen to be gone only after a while, by a `Watch`.
    """
    if store.read(_counter(worker)) is None:
        return True
    host, _, process = worker.rpartition("-")[0].rpartition("-")
    is_here = host == _host() and process.isdecimal() and not WINDOWS
    return is_here and not is_running(int(process))


class SignOfLife:
    """The counter of one worker."""

    def __init__(self, store: Store, worker: str) -> None:
        self._store, self._name, self._count = store, _counter(worker), 0

    def give(self) -> None:
        """Count on."""
        self._count += 1
        self._store.put(self._name, str(self._count).encode())

    def end(self) -> None:
        """Remove the counter."""
        self._store.remove(self._name)


class Watch:
    """What one worker has seen of the others."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._seen: dict[str, tuple[bytes | None, float]] = {}

    def silent_seconds(self, worker: str) -> float:
        """For how long the counter of a worker has stood still, as far as was seen from here."""
        counter, now = self._store.read(_counter(worker)), self._clock()
        before, since = self._seen.get(worker, (None, now))
        if worker not in self._seen or counter != before:
            since = now
        self._seen[worker] = counter, since
        return now - since


def _host() -> str:
    return file_stem(socket.gethostname())


def _counter(worker: str) -> str:
    return f"workers/{worker}"
