"""Freed memory is used again, without the system filling it with zeros."""

import pytest
import torch

from pseudoword.training.freed_memory import keep_freed_memory

resource = pytest.importorskip("resource")
NUMBERS = 1 << 21


def pages_asked_for(rounds: int) -> int:
    """Pages that the system gives while tensors are made, filled and freed again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        made = [torch.ones(NUMBERS) for _ in range(4)]
        del made
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def test_a_step_s_memory_is_asked_for_once() -> None:
    if not keep_freed_memory():
        pytest.skip("this system's allocator has no such setting")
    pages_asked_for(10)  # until the blocks have found their places
    of_one_tensor = 4 * NUMBERS // resource.getpagesize()
    assert pages_asked_for(4) < of_one_tensor
