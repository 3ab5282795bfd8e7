"""What a step frees stays with the process, since the next step asks for the same again.

glibc gives the memory behind the last block that is in use back to the system. The next step gets
it filled with zeros, page by page: in a pack of 16 words a tenth of a step's time on a CPU.
"""

import ctypes
from functools import cache

LARGEST_NBYTES = 1 << 25
"""Larger blocks still go back to the system. glibc takes no more for an answer."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as in malloc.h


@cache
def keep_freed_memory() -> bool:
    """Let the process keep up to 2 GiB of what it frees, in blocks of `LARGEST_NBYTES` at most.

    Returns:
        Whether the system's allocator can; only glibc's does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all((mallopt(_MMAP_THRESHOLD, LARGEST_NBYTES), mallopt(_TRIM_THRESHOLD, 2**31 - 1)))
