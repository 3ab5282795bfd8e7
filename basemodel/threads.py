"""Getting the most from a CPU that others use too."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

import torch


def keep_freed_memory() -> None:
    """Ask glibc to hold on to what tensors free.

    Handing it back at every step costs a third of the time on a CPU. Elsewhere this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mmap_max, trim_threshold, top_pad = -4, -1, -2
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def _others_running() -> int:
    """How many threads of other processes want a core just now (Linux; else 0)."""
    running = own = 0
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith("procs_running"):
                running = int(line.split()[1])
    for task in Path("/proc/self/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # a thread may end meanwhile
            own += task.read_text().rpartition(")")[2].split()[0] == "R"
    return max(0, running - max(own, 1))


class SharedCpu:
    """Uses fewer threads while others are busy.

    Threads that wait for each other run many times slower when one of them has to share its core,
    so with company one thread fewer is faster than a full set.
    """

    def __init__(self, most: int) -> None:
        self.most, self.company = most, 0.0

    def adapt(self) -> None:
        """Look around and choose; call it once a step."""
        self.company += 0.2 * (min(_others_running(), self.most) - self.company)
        wanted = max(1, self.most - round(self.company))
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)
