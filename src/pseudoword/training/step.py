"""One training step: from samples to the loss, its gradient, and new rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from pseudoword.methods import Context, norms
from pseudoword.models.family import Family
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
    numbers = _gradients(family, states, LOSS_SCALE.get(family.dtype, 1.0))
    metrics = []
    for state, (value, norm, grad, least) in zip(states, numbers, strict=True):
        state.failure = _failure(state, value, grad, least)
        if state.failure is None:
            state.reached = state.reached or bool(least)
            lr = state.schedule(state.step)
            state.update(lr)
            metrics.append(StepMetrics(state, value, lr, norm, grad))
    return metrics


def _gradients(family: Family, states: Sequence[TrainState], scale: float) -> list[list[float]]:
    """Give the parameters of `states` the gradients of their next step, clipped.

    Args:
        family: the frozen model.
        states: the concepts.
        scale: what the loss is multiplied by, and the gradients are divided by.

    Returns:
        Of each concept: the loss, the mean norm of its rows, the norm of the gradient before
        clipping, and the largest number of its smallest part (`optimisers.clip`).
    """
    as_graphs = all(state.hyper.graphs for state in states)
    denoise = partial(graphs.predict, family) if as_graphs else family.predict
    parts = torch.tensor(
        [float(s.hyper.accumulate) for s in states], device=family.device, dtype=torch.float32
    )
    total = torch.zeros_like(parts)
    for state in states:
        state.optimiser.zero_grad()
    layered = [state.method.reads_layers(state.step) for state in states]
    data, steps = [state.data for state in states], [state.step for state in states]
    before = [0] * len(states)  # batches of this step so far
    for which, batch in batches(family, data, steps, layered):
        own = [states[k] for k in which]
        each_t = batch.t.view(len(own), -1)
        contexts = [Context(state.step, t) for state, t in zip(own, each_t, strict=True)]
        keeping.add_gradients(family, own, contexts, batch, scale, before[which[0]])
        rows = [nested_rows.rows(state, at) for state, at in zip(own, contexts, strict=True)]
        losses = loss.losses(family, rows, batch, denoise) / parts[which]
        (torch.where(losses.isfinite(), losses, 0.0).sum() * scale).backward()
        total[which] += losses.detach()
        for k in which:
            before[k] += 1
    readings = []
    for state, value in zip(states, total, strict=True):
        hyper, parameters = state.hyper, state.method.parameters()
        words = len(state.data.tokens)
        clipped = optimisers.clip(parameters, hyper.clip_norm, hyper.clip_value, scale, words)
        readings.append(torch.stack([value, norms.mean_norm(state.method.word()), *clipped]))
    # together: each transfer waits for the device
    numbers: list[list[float]] = torch.stack(readings).tolist()
    over = [
        k
        for k, (value, _, grad, _) in enumerate(numbers)
        if math.isfinite(value) and not math.isfinite(grad)
    ]
    if over and scale > 1:
        again = _gradients(family, [states[k] for k in over], max(scale / LESS, 1.0))
        for k, found in zip(over, again, strict=True):
            numbers[k] = found
    return numbers


def _failure(state: TrainState, value: float, grad: float, least: float) -> str | None:
    """Why the concept cannot continue, if it cannot."""
    kept = f"the word of step {state.good_step} is kept" if state.good else "nothing is learned"
    for name, number in (("loss", value), ("gradient", grad)):
        if not math.isfinite(number):
            return (
                f"{state.token}: the {name} became {number} in step {state.step + 1}; {kept}. "
                "Try a lower --lr, or --dtype float32."
            )
    # A loss of zero has no gradient: min-SNR gives no weight to samples of pure noise.
    if value and not (least or state.reached):
        return (
            f"{state.token}: no gradient reaches the word, so it cannot learn; {kept}. Check "
            "that every template holds [name]; on a GPU, try --dtype float32."
        )
    return None
