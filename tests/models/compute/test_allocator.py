"""Freed memory is used again, and weights that are laid out leave no holes in it.

Each is found out in a new process, whose memory no other test has used.
"""

import ctypes
import gc
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from forked import FORKS
from torch import nn

from pseudoword.models.compute.allocator import keep_freed_memory
from pseudoword.models.compute.frozen_layers import packed_nbytes, replace_forwards

resource = pytest.importorskip("resource")
NUMBERS = 1 << 21


@pytest.fixture(autouse=True)
def glibc() -> None:
    if not keep_freed_memory():
        pytest.skip("this system's allocator has no such settings")


def pages_asked_for(rounds: int) -> int:
    """Pages that the system gives while tensors are made, filled and freed again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        made = [torch.ones(NUMBERS) for _ in range(4)]
        del made
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def pages_of_steps() -> int:
    """Pages that the system gives for steps that come after others."""
    keep_freed_memory()
    pages_asked_for(10)  # until the blocks have found their places
    return pages_asked_for(4)


def test_a_step_s_memory_is_asked_for_once() -> None:
    of_one_tensor = 4 * NUMBERS // resource.getpagesize()
    with ProcessPoolExecutor(1, FORKS) as new:
        assert new.submit(pages_of_steps).result() < of_one_tensor


class MallInfo(ctypes.Structure):
    """As in malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def nbytes_of_holes() -> int:
    """Bytes that are free in the heap, but for those at its end."""
    found = ctypes.CDLL(None).mallinfo2
    found.restype = MallInfo
    now = found()
    return int(now.fordblks - now.keepcost)


def nbytes_of_new_holes() -> tuple[int, int]:
    """Those that laying out a model's weights makes, and the bytes of the weights."""
    keep_freed_memory()
    model = nn.Sequential(*(nn.Conv2d(320, 320, 3, padding=1) for _ in range(16)))
    replace_forwards(model.requires_grad_(False), packed=True)
    gc.collect()
    before = nbytes_of_holes()
    model(torch.ones(1, 320, 2, 2, requires_grad=True)).sum().backward()
    return nbytes_of_holes() - before, packed_nbytes(model)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="weights are not laid out")
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="this glibc does not tell")
def test_weights_that_are_laid_out_leave_no_holes() -> None:
    with ProcessPoolExecutor(1, FORKS) as new:
        holes, weights = new.submit(nbytes_of_new_holes).result()
    assert holes < weights / 16
