"""The loop: step after step, with as many concepts at once as memory has room for.

Progress bars, previews, checkpoints and stopping belong to whoever asks for the steps. A pack of K
concepts is the only case: the base model is frozen, so each sample's gradient reaches only its own
rows, and a concept's samples, step, loss, clipping, optimiser, schedule and stopping are its own.
So a concept can enter a pack, and leave it, at any step.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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


class Loop:
    """Takes steps of a pack. When memory runs out, half of the concepts go on, and later all."""

    def __init__(
        self, family: Family, size: int, note: Callable[[str], None] = lambda _text: None
    ) -> None:
        """With at most `size` concepts in a step; `note` is told when memory runs out."""
        keep_freed_memory()
        self.size = size
        """how many concepts take a step together, as long as memory has no room for more"""
        self._family, self._note = family, note
        self._forwards = exact_forwards(*reading_and_denoising(family))
        self._whole, self._patience, self._wait = size, PATIENCE, 0

    def step(self, states: Sequence[TrainState]) -> Step:
        """Take a step with the first `size` of `states`, in place.

        A concept whose loss or gradient is not finite, or whose first gradient is zero, stops:
        `failure` says why, and `good` holds its last good rows.
        """
        active = states[: self.size]
        began = time.perf_counter()
        same = repeatable(self._family.device, all(state.hyper.deterministic for state in active))
        with same, batch_invariant(self._forwards):
            metrics = _step_if_it_fits(self._family, active)
        if metrics is None:
            self._halve(len(active))
            return self.step(states)
        seconds = time.perf_counter() - began
        self._wait -= 1
        if self._wait == 0:
            self.size = self._whole
        return Step(max((one.state.step for one in metrics), default=0), tuple(metrics), seconds)

    def _halve(self, tried: int) -> None:
        self.size = tried // 2
        self._wait, self._patience = self._patience, 2 * self._patience
        free_memory()
        self._note(f"out of memory with {tried} words at once; going on with {self.size}")


def train(family: Family, states: Sequence[TrainState]) -> Iterator[Step]:
    """Train `states` together, in place, until none is unfinished; yields each step."""
    loop = Loop(family, len(states))
    while unfinished := [state for state in states if state.unfinished]:
        step = loop.step(unfinished)
        if step.metrics:
            yield step


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
