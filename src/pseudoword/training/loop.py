"""The loop: a generator that yields a `Step` after each optimiser step.

Progress bars, previews, checkpoints and stopping belong to whoever iterates. A pack of K concepts
is the only case: the base model is frozen, so each sample's gradient reaches only its own rows,
and a concept's samples, loss, clipping, optimiser, schedule and stopping are its own.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from pseudoword.models.family import Family
from pseudoword.training import loss, norms, optimisers
from pseudoword.training.batches import batches
from pseudoword.training.determinism import repeatable
from pseudoword.training.state import TrainState

LOSS_SCALE = {torch.float16: 4096.0}
"""Gradients of a mean over many pixels would vanish in float16 on their way to the rows."""


@dataclass(frozen=True)
class StepMetrics:
    """What one member saw in a step; loss, norm and gradient are of the rows it began with."""

    state: TrainState
    loss: float
    lr: float
    norm: float
    """mean norm of the rows"""
    grad: float
    """norm of the gradient before clipping"""


@dataclass(frozen=True)
class Step:
    """What happened in one optimiser step."""

    step: int
    """counted from 1"""
    metrics: tuple[StepMetrics, ...]
    """one entry for each member that took this step"""
    seconds: float


def train(family: Family, states: Sequence[TrainState]) -> Iterator[Step]:
    """Train `states`, in place, until none is unfinished.

    Members may be at different steps (after a resume); those furthest behind go first. A member
    whose loss or gradient is not finite, or whose first gradient is zero, stops: `failure` says
    why and `good` holds its last good rows.
    """
    checked: set[int] = set()
    while unfinished := [state for state in states if state.unfinished]:
        began = time.perf_counter()
        step = min(state.step for state in unfinished)
        active = [state for state in unfinished if state.step == step]
        metrics = []
        with repeatable(family.device, all(state.hyper.deterministic for state in active)):
            readings = gradients(family, active, step)
        for state, (value, norm, grad, reach) in zip(active, readings, strict=True):
            first = id(state) not in checked
            state.failure = _failure(state, value, grad, unheard=first and not reach)
            checked.add(id(state))
            if state.failure:
                continue
            state.good, state.good_step = state.word(), state.step
            lr = state.schedule(step)
            state.take_step(lr)
            metrics.append(StepMetrics(state, value, lr, norm, grad))
        if metrics:
            yield Step(step + 1, tuple(metrics), time.perf_counter() - began)


def gradients(family: Family, states: Sequence[TrainState], step: int) -> list[list[float]]:
    """Leave each member's clipped gradient of `step` in its parameters.

    Returns:
        Per member its loss, the mean norm of its rows, the norm of its gradient, and the largest
        number in it; fetched at once, since each look at a number waits for the device.
    """
    for state in states:
        state.optimiser.zero_grad()
    scale = LOSS_SCALE.get(family.dtype, 1.0)
    accumulated = torch.tensor([float(m.hyper.accumulate) for m in states], device=family.device)
    total = torch.zeros_like(accumulated)
    for part in range(max(state.hyper.accumulate for state in states)):
        having = [k for k, state in enumerate(states) if part < state.hyper.accumulate]
        for alike, samples in batches(family, [states[k].data for k in having], step, part):
            seeing = [having[k] for k in alike]
            learning = [states[k].method for k in seeing]
            found = loss.losses(family, learning, samples) / accumulated[seeing]
            (torch.where(found.isfinite(), found, 0.0).sum() * scale).backward()
            total[seeing] += found.detach()
    readings = []
    for state, value in zip(states, total, strict=True):
        hyper, parameters = state.hyper, state.method.parameters()
        clipped = optimisers.clip(parameters, hyper.clip_norm, hyper.clip_value, scale)
        norm = norms.mean_norm(state.method.vectors())
        readings.append(torch.stack([value, norm, *clipped]))
    numbers: list[list[float]] = torch.stack(readings).tolist()
    return numbers


def _failure(state: TrainState, value: float, grad: float, unheard: bool) -> str | None:
    """Why the member cannot go on, if it cannot."""
    kept = f"the word of step {state.good_step} is kept" if state.good else "nothing is learned"
    for name, number in (("loss", value), ("gradient", grad)):
        if not math.isfinite(number):
            return (
                f"{state.token}: the {name} became {number} in step {state.step + 1}; {kept}. "
                "Try a lower --lr, or --dtype float32."
            )
    if unheard:
        return (
            f"{state.token}: no gradient reaches the word, so it cannot learn; {kept}. Check "
            "that every template holds [name]; on a GPU, try --dtype float32."
        )
    return None
