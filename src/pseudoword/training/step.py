"""One training step: from samples to the loss, its gradient, and new rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pseudoword.errors import is_out_of_memory
from pseudoword.methods import norms
from pseudoword.models.compute.transfers import sent
from pseudoword.models.family import Family
from pseudoword.text import reason
from pseudoword.training import context_keeping as keeping
from pseudoword.training import graphs, loss, nested_rows, optimisers
from pseudoword.training.batches import batches
from pseudoword.training.state import TrainState

LOSS_SCALE = {torch.float16: 4096.0}
"""In float16, gradients of a mean over many pixels would underflow before they reach the rows..."""

LESS = 64
"""... and where they overflow, the scale is divided by this, until it is 1. It has no state: the
next step begins with the large one again."""


@dataclass(frozen=True)
class StepMetrics:
    """Metrics of one concept in a step; loss, norm and gradient belong to the rows before it."""

    state: TrainState
    loss: float
    lr: float
    norm: float
    """mean norm of the rows"""
    grad: float
    """norm of the gradient before clipping"""


def take_step(family: Family, states: Sequence[TrainState]) -> list[StepMetrics]:
    """Take one optimiser step with `states`, each of which may be at another step.

    Equation 2 of the paper and its gradient: v* = arg min E ||ε - ε_θ(z_t, t, c_θ(y))||².

    Returns:
        The metrics of each concept. Concepts that cannot continue are left out: `failure` says why.
    """
    metrics = []
    readings = _gradients(family, states, LOSS_SCALE.get(family.dtype, 1.0))
    for state, reading in zip(states, readings, strict=True):
        lr = state.schedule(state.step)
        state.failure = _failure(state, reading) or _failed_update(state, lr)
        if state.failure is None:
            state.reached = state.reached or bool(reading.least)
            metrics.append(StepMetrics(state, reading.loss, lr, reading.norm, reading.grad))
    return metrics


class _Reading(NamedTuple):
    """What is read from the device of one concept, before its rows change."""

    loss: float
    norm: float
    """mean norm of the rows"""
    grad: float
    """norm of the gradient before clipping"""
    least: float
    """the largest number of the gradient's smallest part (`optimisers.clip`)"""


def _gradients(family: Family, states: Sequence[TrainState], scale: float) -> list[_Reading]:
    """Give the parameters of `states` the gradients of their next step, clipped.

    On the way back through the model, gradients are `scale` times as large.
    """
    as_graphs = all(state.hyper.graphs for state in states)
    denoise = partial(graphs.predict, family) if as_graphs else family.predict
    accumulated = torch.tensor([state.hyper.accumulate for state in states], dtype=torch.float32)
    accumulate = sent(accumulated, family.device)
    total = torch.zeros_like(accumulate)
    for state in states:
        state.optimiser.zero_grad()
    layered = [state.method.reads_layers(state.step) for state in states]
    data, steps = [state.data for state in states], [state.step for state in states]
    for part, which, batch in batches(family, data, steps, layered):
        own = [states[k] for k in which]
        at_which = sent(torch.tensor(which), family.device)
        keeping.add_gradients(family, own, batch, scale, part)
        words = [nested_rows.rows(state) for state in own]
        losses = loss.losses(family, words, batch, denoise) / accumulate[at_which]
        (torch.where(losses.isfinite(), losses, 0.0).sum() * scale).backward()
        total[at_which] += losses.detach()
    readings = _clipped(states, total, scale)
    over = [
        k
        for k, reading in enumerate(readings)
        if math.isfinite(reading.loss) and not math.isfinite(reading.grad)
    ]
    if over and scale > 1:
        again = _gradients(family, [states[k] for k in over], max(scale / LESS, 1.0))
        for k, reading in zip(over, again, strict=True):
            readings[k] = reading
    return readings


def _clipped(states: Sequence[TrainState], losses: Tensor, scale: float) -> list[_Reading]:
    """Divide the gradients by `scale` and clip them; `losses` `[K]` are those of the step."""
    readings = []
    for state, value in zip(states, losses, strict=True):
        hyper, parameters = state.hyper, state.method.parameters()
        words = len(state.data.tokens)
        clipped = optimisers.clip(parameters, hyper.clip_norm, hyper.clip_value, scale, words)
        readings.append(torch.stack([value, norms.mean_norm(state.method.word()), *clipped]))
    # together: each transfer waits for the device
    return [_Reading(*numbers) for numbers in torch.stack(readings).tolist()]


def _failure(state: TrainState, reading: _Reading) -> str | None:
    """Why the concept cannot continue, if it cannot."""
    numbers = {"norm of its vectors": reading.norm, "loss": reading.loss, "gradient": reading.grad}
    for name, number in numbers.items():
        if not math.isfinite(number):
            return (
                f"{state.called}: the {name} became {number} in step {state.step + 1}; "
                f"{state.kept}. Try a lower --lr, or --dtype float32."
            )
    # A loss of zero has no gradient: min-SNR gives no weight to samples of pure noise.
    if reading.loss and not (reading.least or state.reached):
        return (
            f"{state.called}: no gradient reaches the word, so it cannot learn; {state.kept}. "
            "Check that every template holds [name]; on a GPU, try --dtype float32."
        )
    return None


def _failed_update(state: TrainState, lr: float) -> str | None:
    """Update the rows; why the optimiser could not, if so."""
    try:
        state.update(lr)
    except Exception as error:  # of whichever class it is, such as of numbers that are too large
        if is_out_of_memory(error):
            raise
        return (
            f"{state.called}: the optimiser fails in step {state.step + 1} ({reason(error)}); "
            f"{state.kept}. Try a lower --lr, or another --optimiser."
        )
    return None
