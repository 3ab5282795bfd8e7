"""What the members of a pack see in a step, drawn from nothing but (seed, token, step)."""

import math
from collections.abc import Sequence

import torch

from pseudoword import loss
from pseudoword.captions import render
from pseudoword.config import Hyper
from pseudoword.draws import Draw, draw, kept_wobble
from pseudoword.families.base import Family
from pseudoword.member import Member
from pseudoword.timesteps import Timesteps
from pseudoword.weighting import min_snr


def batch(family: Family, members: Sequence[Member], step: int, part: int = 0) -> loss.Batch:
    """The samples of `members` in `step`.

    Of a step that accumulates several batches, its `part`: together they are the same samples as
    one large batch.
    """
    drawn = []
    for member in members:
        hyper = member.hyper
        whole = draw(
            hyper.seed,
            member.token,
            step,
            batch=hyper.batch * hyper.accumulate,
            pictures=len(member.filewords),
            captions=len(member.templates),
            timesteps=timesteps(family, hyper),
            latent_shape=member.moments.mean.shape[1:],
        )
        drawn.append(whole[part * hyper.batch : (part + 1) * hyper.batch])
    return assemble(family, members, drawn)


def assemble(family: Family, members: Sequence[Member], drawn: Sequence[Draw]) -> loss.Batch:
    """What was drawn for each of `members`, as the model takes it."""
    prompts: list[str] = []
    latents, noise, t, framing, weight, delta = [], [], [], [], [], []
    for k, (member, some) in enumerate(zip(members, drawn, strict=True)):
        hyper = member.hyper
        prompts += [
            render(member.templates[c], loss.mark(k), member.filewords[p])
            for c, p in zip(some.caption, some.picture, strict=True)
        ]
        latents.append(_latents(member, some))
        noise.append(some.noise + hyper.noise_offset * some.shift)
        t.append(some.t)
        framing.append(member.framing[some.picture])
        weight.append(min_snr(family.process, some.t, hyper.min_snr))
        edge = hyper.huber_delta if hyper.loss == "huber" else math.inf
        delta.append(torch.full(some.t.shape, edge))
    return loss.Batch(
        prompts,
        latents=torch.cat(latents),
        noise=torch.cat(noise).to(family.device),
        t=torch.cat(t).to(family.device),
        framing=torch.cat(framing).to(family.device),
        weight=torch.cat(weight).to(family.device),
        delta=torch.cat(delta).to(family.device),
    )


def timesteps(family: Family, hyper: Hyper) -> Timesteps:
    """The timesteps to learn at, none above what the model knows."""
    known = family.process.timesteps
    high = min(hyper.max_timestep or known, known)
    return Timesteps(min(hyper.min_timestep, high - 1), high, hyper.timestep_spread)


def _latents(member: Member, drawn: Draw) -> torch.Tensor:
    """`[B, C, h, w]`: the VAE's mean for each picture, and what is asked for of its spread."""
    hyper = member.hyper
    mean = member.moments.mean[drawn.picture]
    if hyper.latents == "deterministic":
        return mean
    wobble = drawn.wobble
    if hyper.latents == "once":
        shape = mean.shape[1:]
        kept = [kept_wobble(hyper.seed, member.token, p, shape) for p in drawn.picture]
        wobble = torch.stack(kept)
    return mean + member.moments.std[drawn.picture] * wobble.to(mean)
