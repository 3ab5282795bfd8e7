"""Freed memory is used again, and weights that are laid out leave no holes in it."""

import ctypes
import gc

import pytest
import torch
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


def test_a_step_s_memory_is_asked_for_once() -> None:
    pages_asked_for(10)  # until the blocks have found their places
    of_one_tensor = 4 * NUMBERS // resource.getpagesize()
    assert pages_asked_for(4) < of_one_tensor


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
    found = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if found is None:
        pytest.skip("this glibc does not tell")
    found.restype = MallInfo
    now = found()
    return int(now.fordblks - now.keepcost)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="weights are not laid out")
def test_weights_that_are_laid_out_leave_no_holes() -> None:
    model = nn.Sequential(*(nn.Conv2d(320, 320, 3, padding=1) for _ in range(16)))
    replace_forwards(model.requires_grad_(False), packed=True)
    gc.collect()  # or what other tests left is freed in between
    before = nbytes_of_holes()
    model(torch.ones(1, 320, 2, 2, requires_grad=True)).sum().backward()
    assert nbytes_of_holes() - before < packed_nbytes(model) / 16
