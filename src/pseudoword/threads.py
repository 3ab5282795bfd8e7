"""How threads wait: those of a computation for each other, and the main one for a flag."""

import contextlib
import os
from pathlib import Path
from queue import Empty, SimpleQueue

SPIN = "GOMP_SPINCOUNT"
ROUNDS = "10000"
"""About half a millisecond: between two parts of a step a thread never waits that long."""


WINDOWS = os.name == "nt"
LOOK_S = 0.2


class Flag:
    """Something that is set once, and waited for.

    Unlike an event, it may be set by a signal handler: that runs between any two instructions of
    the main thread, and would wait for ever for an event's lock that this one holds.
    """

    def __init__(self) -> None:
        self._is_set, self._news = False, SimpleQueue[None]()

    def set(self) -> None:
        """Set it, and wake all who wait for it."""
        self._is_set = True
        self._news.put(None)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is set after so many seconds at most; without a number, it waits for ever.

        On Windows, until 3.14, Python hears of Ctrl-C only when it does not wait: it looks up
        often.
        """
        left = float("inf") if seconds is None else seconds
        while not self._is_set and left > 0:
            length = min(left, LOOK_S) if WINDOWS else left
            left -= length
            if self._look(None if length == float("inf") else length):
                self._news.put(None)  # for the others who wait
        return self._is_set

    def _look(self, seconds: float | None) -> bool:
        try:
            self._news.get(timeout=seconds)
        except Empty:
            return False
        return True


COUNT = "OMP_NUM_THREADS"
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of computing in a period, and the period; the first may be `max`."""

QUOTA_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
PERIOD_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def keep_to_quota() -> None:
    """Have no more threads than cores that a container may use, if the user has not decided.

    To be called before torch is imported, which takes a thread for each core of the machine. Where
    docker's `--cpus` or a limit of Kubernetes allows fewer, they use the time of all up together,
    and are then all stopped: with leave for one of two cores a step took 1.7 to 3 times as long.
    """
    allowed = _allowed_cores()
    if allowed is not None and allowed < (os.cpu_count() or 1):
        os.environ.setdefault(COUNT, str(max(int(allowed), 1)))


def _allowed_cores() -> float | None:
    """How many cores' time this container may use, if that is limited."""
    for files in ((QUOTA,), (QUOTA_V1, PERIOD_V1)):
        with contextlib.suppress(ValueError, OSError):  # not there, or no number: no limit
            quota, period = map(int, " ".join(file.read_text() for file in files).split())
            if quota > 0 and period > 0:
                return quota / period
    return None


def wait_briefly() -> None:
    """Let a thread that waits for others give its core back soon, if the user has not decided.

    To be called before torch is imported: GNU's OpenMP, which torch has on Linux, reads this once.
    By itself, a thread asks for ten milliseconds whether the others are ready. Where other programs
    use a core too, these wait for it, and it for them: on two busy cores a step took up to four
    times as long. On idle ones it is no slower.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(SPIN, ROUNDS)
