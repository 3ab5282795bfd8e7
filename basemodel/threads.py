"""Memory and threads on a CPU that other processes use, too."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

import torch


def keep_freed_memory() -> None:
    """Make glibc keep the memory that tensors free.

    Giving it back to the system at every step takes a third of the time on a CPU. Without glibc
    this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mmap_max, trim_threshold, top_pad = -4, -1, -2
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def _others_running() -> int:
    """Number of threads of other processes that need a core now (on Linux; otherwise 0)."""
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
    """Uses fewer threads while other processes are busy.

    Threads that wait for each other become many times slower if one of them has to share its core.
    So one thread less is faster then.
    """

    def __init__(self, most: int) -> None:
        self.most, self.others = most, 0.0

    def adapt(self) -> None:
        """Choose the number of threads; call it once a step."""
        self.others += 0.2 * (min(_others_running(), self.most) - self.others)
        threads = max(1, self.most - round(self.others))
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
