"""How much memory a device has, and how it gets some back."""

import contextlib
import gc
import os
from pathlib import Path

import torch

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_nbytes(device: torch.device) -> int | None:
    """Bytes of memory of `device`, free or not; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = []
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on every system
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _LIMITS:
        with contextlib.suppress(ValueError, OSError):  # `max` is no limit
            limits.append(int(Path(path).read_text()))
    return min(limits, default=None)


def free_memory() -> None:
    """Give back what nobody uses any more: garbage, and what torch keeps of it on a GPU."""
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where no GPU is in use
