"""How threads wait: those of a computation for each other, and the main one for an event."""

import contextlib
import os
import threading
from pathlib import Path

SPIN = "GOMP_SPINCOUNT"
ROUNDS = "10000"
"""About half a millisecond: between two parts of a step a thread never waits that long."""


WINDOWS = os.name == "nt"
LOOK_S = 0.2


def wait_for(event: threading.Event, seconds: float | None = None) -> bool:
    """Whether `event` is set after so many seconds at most; without a number, it waits for ever.

    On Windows, until 3.14, Python hears of Ctrl-C only when it does not wait: it looks up often.
    """
    if not WINDOWS:
        return event.wait(seconds)
    left = float("inf") if seconds is None else seconds
    while left > 0 and not event.wait(min(left, LOOK_S)):
        left -= LOOK_S
    return event.is_set()


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
