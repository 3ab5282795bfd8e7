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
from pseudoword.training.state import Member

LOSS_SCALE = {torch.float16: 4096.0}
"""Gradients of a mean over many pixels would vanish in float16 on their way to the rows."""


@dataclass(frozen=True)
class Seen:
    """What one member saw in a step; loss, norm and gradient are of the rows it began with."""

    member: Member
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
    seen: tuple[Seen, ...]
    """one entry for each member that took this step"""
    seconds: float


def train(family: Family, members: Sequence[Member]) -> Iterator[Step]:
    """Train `members`, in place, until none is unfinished.

    Members may be at different steps (after a resume); those furthest behind go first. A member
    whose loss or gradient is not finite, or whose first gradient is zero, stops: `failure` says
    why and `good` holds its last good rows.
    """
    checked: set[int] = set()
    while unfinished := [member for member in members if member.unfinished]:
        began = time.perf_counter()
        step = min(member.step for member in unfinished)
        active = [member for member in unfinished if member.step == step]
        seen = []
        with repeatable(family.device, all(member.hyper.deterministic for member in active)):
            readings = gradients(family, active, step)
        for member, (value, norm, grad, reach) in zip(active, readings, strict=True):
            first = id(member) not in checked
            member.failure = _trouble(member, value, grad, unheard=first and not reach)
            checked.add(id(member))
            if member.failure:
                continue
            member.good, member.good_step = member.word(), member.step
            lr = member.schedule(step)
            member.take_step(lr)
            seen.append(Seen(member, value, lr, norm, grad))
        if seen:
            yield Step(step + 1, tuple(seen), time.perf_counter() - began)


def gradients(family: Family, members: Sequence[Member], step: int) -> list[list[float]]:
    """Leave each member's clipped gradient of `step` in its parameters.

    Returns:
        Per member its loss, the mean norm of its rows, the norm of its gradient, and the largest
        number in it; fetched at once, since each look at a number waits for the device.
    """
    for member in members:
        member.optimiser.zero_grad()
    scale = LOSS_SCALE.get(family.dtype, 1.0)
    accumulated = torch.tensor([float(m.hyper.accumulate) for m in members], device=family.device)
    total = torch.zeros_like(accumulated)
    for part in range(max(member.hyper.accumulate for member in members)):
        having = [k for k, member in enumerate(members) if part < member.hyper.accumulate]
        for alike, samples in batches(family, [members[k].data for k in having], step, part):
            seeing = [having[k] for k in alike]
            learning = [members[k].method for k in seeing]
            found = loss.losses(family, learning, samples) / accumulated[seeing]
            (torch.where(found.isfinite(), found, 0.0).sum() * scale).backward()
            total[seeing] += found.detach()
    readings = []
    for member, value in zip(members, total, strict=True):
        hyper, parameters = member.hyper, member.method.parameters()
        clipped = optimisers.clip(parameters, hyper.clip_norm, hyper.clip_value, scale)
        norm = norms.mean_norm(member.method.vectors())
        readings.append(torch.stack([value, norm, *clipped]))
    numbers: list[list[float]] = torch.stack(readings).tolist()
    return numbers


def _trouble(member: Member, value: float, grad: float, unheard: bool) -> str | None:
    """Why the member cannot go on, if it cannot."""
    kept = f"the word of step {member.good_step} is kept" if member.good else "nothing is learned"
    for name, number in (("loss", value), ("gradient", grad)):
        if not math.isfinite(number):
            return (
                f"{member.token}: the {name} became {number} in step {member.step + 1}; {kept}. "
                "Try a lower --lr, or --dtype float32."
            )
    if unheard:
        return (
            f"{member.token}: no gradient reaches the word, so it cannot learn; {kept}. Check "
            "that every template holds [name]; on a GPU, try --dtype float32."
        )
    return None
