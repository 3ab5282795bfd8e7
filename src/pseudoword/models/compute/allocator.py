"""How glibc's allocator deals with large blocks; other allocators are left as they are.

It takes small blocks out of one heap, and gives what is behind the last block in use back to the
system. Blocks above a threshold get pages of their own, which go back when the block is freed.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

LARGEST_NBYTES = 1 << 25
"""Larger blocks have pages of their own in any case. glibc takes no more for an answer."""

LASTING_NBYTES = 1 << 20

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as in malloc.h


def keep_freed_memory() -> bool:
    """Let the process keep up to 2 GiB of what it frees, in blocks of `LARGEST_NBYTES` at most.

    Each step asks for the same memory. The system would give it filled with zeros, page by page: in
    a pack of 16 words that takes a tenth of a step's time on a CPU.

    Returns:
        Whether the system's allocator can; only glibc's does.
    """
    return _set(_MMAP_THRESHOLD, LARGEST_NBYTES) and _set(_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def lasting_blocks() -> Iterator[None]:
    """What is made while open stays for long: from `LASTING_NBYTES` on, it is outside the heap.

    Otherwise it fills places between blocks that are soon freed, and holes stay that nothing fits
    into: 0.6 GiB for the weights of SD 1.x in 16 bits.
    """
    _set(_MMAP_THRESHOLD, LASTING_NBYTES)
    try:
        yield
    finally:
        _set(_MMAP_THRESHOLD, LARGEST_NBYTES)


def _set(what: int, nbytes: int) -> bool:
    found = _mallopt()
    return found is not None and bool(found(what, nbytes))


@cache
def _mallopt() -> "ctypes._NamedFuncPointer | None":
    try:
        return ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return None
