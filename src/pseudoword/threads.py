"""How the threads of a computation wait for each other."""

import os

SPIN = "GOMP_SPINCOUNT"
ROUNDS = "10000"
"""About half a millisecond: between two parts of a step a thread never waits that long."""


def wait_briefly() -> None:
    """Let a thread that waits for others give its core back soon, if the user has not decided.

    To be called before torch is imported: GNU's OpenMP, which torch has on Linux, reads this once.
    By itself, a thread asks for ten milliseconds whether the others are ready. Where other programs
    use a core too, these wait for it, and it for them: on two busy cores a step took up to four
    times as long. On idle ones it is no slower.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(SPIN, ROUNDS)
