import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import torch

from pseudoword.process_wide import ProcessWide, without_warnings
from pseudoword.training.determinism import repeatable


def test_it_is_opened_once_and_closed_by_the_last_of_several_threads() -> None:
    told: list[str] = []

    @contextmanager
    def one() -> Iterator[None]:
        told.append("open")
        yield
        told.append("closed")

    context, meet = ProcessWide(one), Barrier(2, timeout=30)

    def first() -> None:
        with context:
            meet.wait()
            meet.wait()  # the other one is inside
        told.append("first is out")
        meet.wait()

    def second() -> None:
        meet.wait()
        with context:
            meet.wait()
            meet.wait()  # the other one is out

    with ThreadPoolExecutor(2) as threads:
        [*threads.map(lambda do: do(), [first, second])]
    assert told == ["open", "first is out", "closed"]
    with context:
        pass
    assert told[-2:] == ["open", "closed"]


def test_threads_that_overlap_leave_warnings_and_torch_s_modes_as_they_were() -> None:
    filters, strict = [*warnings.filters], torch.are_deterministic_algorithms_enabled()
    device, meet = torch.device("cuda"), Barrier(2, timeout=30)

    def inside(first: bool) -> bool:
        if not first:
            meet.wait()
        with without_warnings, repeatable(device):
            if first:
                meet.wait()
            meet.wait()  # both are inside; then the first one leaves
            if not first:
                meet.wait()
            seen = torch.are_deterministic_algorithms_enabled()
        if first:
            meet.wait()
        return seen

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(inside, [True, False]))
    assert warnings.filters == filters
    assert torch.are_deterministic_algorithms_enabled() == strict
