"""The loop: a generator that yields a `Step` after each optimiser step.

Progress bars, previews, checkpoints and stopping belong to whoever iterates. A pack of K concepts
is the only case: the base model is frozen, so each sample's gradient reaches only its own rows,
and a concept's samples, loss, clipping, optimiser and stopping are its own.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pseudoword import loss
from pseudoword.captions import render
from pseudoword.draws import draw
from pseudoword.families.base import Family, Framing, Moments
from pseudoword.methods import Method

LOSS_SCALE = {torch.float16: 4096.0}
"""Gradients of a mean over many pixels would vanish in float16 on their way to the rows."""


@dataclass(frozen=True)
class Hyper:
    """How a concept is trained; settings of the same names explain them."""

    steps: int
    batch: int
    lr: float
    clip_norm: float | None
    sample_latents: bool
    seed: int


@dataclass
class Member:
    """One concept of a pack: what it is learned from, and its state."""

    token: str
    method: Method
    moments: Moments
    """[N, C, h, w] of its pictures"""
    framing: Framing
    """[N, 6] how they were cut"""
    filewords: Sequence[str]
    """[N] the pictures' own captions"""
    templates: Sequence[str]
    hyper: Hyper
    optimiser: torch.optim.Optimizer = field(init=False)
    step: int = 0
    """steps done"""
    good: dict[str, Tensor] = field(default_factory=dict)
    """the latest rows whose loss and gradient were finite"""
    good_step: int = 0
    """how many steps had made them"""
    failure: str | None = None
    """why it stopped before its time"""

    def __post_init__(self) -> None:
        # No weight decay: it would pull the word towards nothing.
        self.optimiser = torch.optim.AdamW(
            self.method.parameters(), lr=self.hyper.lr, weight_decay=0.0
        )

    @property
    def unfinished(self) -> bool:
        """Whether there are steps left to take."""
        return self.failure is None and self.step < self.hyper.steps


@dataclass(frozen=True)
class Seen:
    """What one member saw in a step."""

    member: Member
    loss: float
    lr: float
    norm: float
    """mean norm of the rows after the step"""
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

        found = loss.losses(family, [m.method for m in active], batch(family, active, step))
        for member in active:
            member.optimiser.zero_grad()
        scale = LOSS_SCALE.get(family.dtype, 1.0)
        (torch.where(found.isfinite(), found, 0.0).sum() * scale).backward()

        seen = []
        for member, value in zip(active, found.tolist(), strict=True):
            grad = _clip(member, scale)
            member.failure = _trouble(member, value, grad, first=id(member) not in checked)
            checked.add(id(member))
            if member.failure:
                continue
            member.good = {k: v.detach().clone() for k, v in member.method.vectors().items()}
            member.good_step = member.step
            member.optimiser.step()
            member.step += 1
            lr = float(member.optimiser.param_groups[0]["lr"])
            seen.append(Seen(member, value, lr, _row_norm(member), grad))
        if seen:
            yield Step(step + 1, tuple(seen), time.perf_counter() - began)


def batch(family: Family, members: Sequence[Member], step: int) -> loss.Batch:
    """The samples of `members` in `step`, drawn from nothing but (seed, token, step)."""
    prompts: list[str] = []
    latents, noise, t, framing = [], [], [], []
    for k, member in enumerate(members):
        _, *latent_shape = member.moments.mean.shape
        drawn = draw(
            member.hyper.seed,
            member.token,
            step,
            batch=member.hyper.batch,
            pictures=len(member.filewords),
            captions=len(member.templates),
            timesteps=family.process.timesteps,
            latent_shape=latent_shape,
        )
        prompts += [
            render(member.templates[c], loss.mark(k), member.filewords[p])
            for c, p in zip(drawn.caption, drawn.picture, strict=True)
        ]
        latent = member.moments.mean[drawn.picture]
        if member.hyper.sample_latents:
            latent = latent + member.moments.std[drawn.picture] * drawn.wobble.to(latent)
        latents.append(latent)
        noise.append(drawn.noise)
        t.append(drawn.t)
        framing.append(member.framing[drawn.picture])
    return loss.Batch(
        prompts,
        latents=torch.cat(latents),
        noise=torch.cat(noise).to(family.device),
        t=torch.cat(t).to(family.device),
        framing=torch.cat(framing).to(family.device),
    )


def _clip(member: Member, scale: float) -> float:
    """Undo the loss scale, shorten the gradient to its limit; return its norm before that."""
    for parameter in member.method.parameters():
        if parameter.grad is not None:
            parameter.grad /= scale
    limit = member.hyper.clip_norm or math.inf
    return float(torch.nn.utils.clip_grad_norm_(member.method.parameters(), limit))


def _trouble(member: Member, value: float, grad: float, first: bool) -> str | None:
    """Why the member cannot go on, if it cannot."""
    kept = f"the word of step {member.good_step} is kept" if member.good else "nothing is learned"
    for name, number in (("loss", value), ("gradient", grad)):
        if not math.isfinite(number):
            return (
                f"{member.token}: the {name} became {number} in step {member.step + 1}; {kept}. "
                "Try a lower --lr, or --dtype float32."
            )
    silent = [p for p in member.method.parameters() if p.grad is None or not p.grad.any()]
    if first and silent:
        return (
            f"{member.token}: no gradient reaches the word, so it cannot learn; {kept}. Check "
            "that every template holds [name]; on a GPU, try --dtype float32."
        )
    return None


def _row_norm(member: Member) -> float:
    rows = member.method.vectors().values()
    return float(torch.stack([r.detach().norm(dim=-1).mean() for r in rows]).mean())
