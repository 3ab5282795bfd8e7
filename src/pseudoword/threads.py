"""How threads wait: those of a computation for each other, and the main one for an event."""

import os
import threading

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


def wait_briefly() -> None:
    """Let a thread that waits for others give its core back soon, if the user has not decided.

    To be called before torch is imported: GNU's OpenMP, which torch has on Linux, reads this once.
    By itself, a thread asks for ten milliseconds whether the others are ready. Where other programs
    use a core too, these wait for it, and it for them: on two busy cores a step took up to four
    times as long. On idle ones it is no slower.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(SPIN, ROUNDS)
