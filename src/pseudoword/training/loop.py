"""The loop: a generator that yields a `Step` after each optimiser step.

Progress bars, previews, checkpoints and stopping belong to whoever iterates. A pack of K concepts
is the only case: the base model is frozen, so each sample's gradient reaches only its own rows,
and a concept's samples, step, loss, clipping, optimiser, schedule and stopping are its own. So a
concept can enter a pack, and leave it, at any step.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pseudoword.errors import is_out_of_memory
from pseudoword.models.compute.allocator import keep_freed_memory
from pseudoword.models.compute.device_memory import free_memory
from pseudoword.models.family import Family
from pseudoword.training.batch_invariance import (
    batch_invariant,
    exact_forwards,
    reading_and_denoising,
)
from pseudoword.training.determinism import repeatable
from pseudoword.training.state import TrainState
from pseudoword.training.step import StepMetrics, take_step

PATIENCE = 1000
"""Steps after memory ran out until all words are tried together again, as other programs may have
left it; twice as many each time that it runs out again."""


@dataclass(frozen=True)
class Step:
    """What happened in one optimiser step."""

    step: int
    """the most steps that a concept of the pack has taken"""
    metrics: tuple[StepMetrics, ...]
    """one entry for each concept that took this step"""
    seconds: float


def train(
    family: Family,
    states: Iterable[TrainState | None],
    size: int | None = None,
    note: Callable[[str], None] = lambda _text: None,
) -> Iterator[Step]:
    """Train `states`, in place, until none is unfinished.

    A concept whose loss or gradient is not finite, or whose first gradient is zero, stops:
    `failure` says why, and `good` holds its last good rows.

    Args:
        family: the frozen model.
        states: of the concepts. Each is taken from here when there is room for it. None: there is
            no other one now; ask again after the next step.
        size: how many concepts take a step together; None for all. When memory runs out, half of
            them go on, and some time later all again.
        note: told when it is.
    """
    keep_freed_memory()
    forwards = exact_forwards(*reading_and_denoising(family))
    waiting = (state for state in states if state is None or state.unfinished)
    inside: list[TrainState] = []
    whole, patience, wait = size, PATIENCE, 0
    while True:
        inside = [state for state in inside if state.unfinished]
        room = None if size is None else max(size - len(inside), 0)
        inside += _until_none(islice(waiting, room))
        active = inside[:size]
        if not active:
            return
        began = time.perf_counter()
        same = repeatable(family.device, all(state.hyper.deterministic for state in active))
        with same, batch_invariant(forwards):
            metrics = _step_if_it_fits(family, active)
        if metrics is None:
            size, wait, patience = len(active) // 2, patience, 2 * patience
            free_memory()
            note(f"out of memory with {len(active)} words at once; going on with {size}")
        elif metrics:
            most = max(one.state.step for one in metrics)
            yield Step(most, tuple(metrics), time.perf_counter() - began)
            wait -= 1
            if wait == 0:
                size = whole


def _step_if_it_fits(family: Family, active: Sequence[TrainState]) -> list[StepMetrics] | None:
    """A step of several concepts; None if memory ran out before any of them changed.

    Only after the error is gone is the memory of the failed step free.
    """
    try:
        return take_step(family, active)
    except (MemoryError, RuntimeError) as error:
        if len(active) == 1 or not is_out_of_memory(error):
            raise
    return None


def _until_none(states: Iterable[TrainState | None]) -> Iterator[TrainState]:
    for state in states:
        if state is None:
            return
        yield state
