"""How much memory a device has, and how it gets some back."""

import contextlib
import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pseudoword.files import WINDOWS

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_nbytes(device: torch.device) -> int | None:
    """Bytes of memory of `device`, free or not; None if unknown."""
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())  # of the memory that it shares with the CPU
    if device.type != "cpu":
        return _of_gpu(device, lambda gpu: gpu.get_device_properties(device).total_memory)
    limits = []
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on every system
        limits.append(_of_windows() if WINDOWS else _of_posix())
    for path in _LIMITS:
        with contextlib.suppress(ValueError, OSError):  # `max` is no limit
            limits.append(int(Path(path).read_text()))
    return min(limits, default=None)


def room_nbytes(device: torch.device) -> int | None:
    """Bytes of memory of `device` that this process has or can get; None if unknown."""
    if device.type in {"cpu", "mps"}:
        return memory_nbytes(device)
    free = _of_gpu(device, lambda gpu: gpu.mem_get_info(device)[0] + gpu.memory_reserved(device))
    return memory_nbytes(device) if free is None else free


def _of_posix() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of Windows."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("length", "load")),
        *(
            (name, ctypes.c_uint64)
            for name in ("total", "free", "total_with_swap", "free_with_swap")
        ),
        *((name, ctypes.c_uint64) for name in ("total_virtual", "free_virtual", "free_extended")),
    )


def _of_windows() -> int:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined]
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("Windows does not say how much memory there is")
    return int(status.total)


def _of_gpu(device: torch.device, ask: Callable[[Any], int]) -> int | None:
    """What torch's module for this kind of device answers; some GPUs of Intel know not all."""
    with contextlib.suppress(AttributeError, RuntimeError):
        return int(ask(torch.get_device_module(device)))
    return None


def free_memory() -> None:
    """Give back what nobody uses any more: garbage, and what torch keeps of it on a GPU."""
    gc.collect()
    gpu = torch.accelerator.current_accelerator(check_available=True)
    if gpu is not None:
        torch.get_device_module(gpu).empty_cache()
