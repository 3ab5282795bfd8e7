"""What the members of a pack see in a step, drawn from nothing but (seed, token, step)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from pseudoword.data.captions import render, reword
from pseudoword.models.family import Family
from pseudoword.placeholders import marked
from pseudoword.training import loss
from pseudoword.training.sampling import Draw, draw, kept_wobble
from pseudoword.training.state import Member
from pseudoword.training.timestep_sampling import Timesteps
from pseudoword.training.weighting import min_snr


def batches(
    family: Family, members: Sequence[Member], step: int, part: int = 0
) -> Iterator[tuple[list[int], loss.Batch]]:
    """The samples of `members` in `step`, a batch for each shape of latents among them.

    Of a step of several batches, its `part`: together they are the same samples as one large batch.

    Yields:
        Which of the members see latents of one shape in this step, and what they see.
    """
    drawn = [_drawn(family, member, step, part) for member in members]
    shapes = [some.noise.shape for some in drawn]
    for shape in dict.fromkeys(shapes):
        alike = [k for k, other in enumerate(shapes) if other == shape]
        yield alike, _assemble(family, [members[k] for k in alike], [drawn[k] for k in alike])


def batch(family: Family, members: Sequence[Member], step: int) -> loss.Batch:
    """The samples of `members`, whose latents are of one shape, in `step`."""
    ((_, only),) = batches(family, members, step)
    return only


def fixed(family: Family, member: Member, n: int) -> list[loss.Batch]:
    """At least `n` samples that are always the same, evenly spread over timesteps and pictures.

    In batches of the member's size. Training never sees them: they are drawn under another key.
    Nor does their noise depend on its seed, so that words of other seeds can be compared.
    """
    size = member.hyper.batch
    parts = math.ceil(n / size)
    spread = timesteps(family, member)
    t = spread.even(parts * size)
    key = f"{member.token}/evaluation"
    drawn = [_draw(member, 0, key, i, size, spread) for i in range(parts)]
    at = [t[i::parts] for i in range(parts)]
    each = [replace(some, t=t, weight=spread.weight(t)) for some, t in zip(drawn, at, strict=True)]
    return [_assemble(family, [member], [some]) for some in each]


def _drawn(family: Family, member: Member, step: int, part: int) -> Draw:
    hyper = member.hyper
    n, spread = hyper.batch * hyper.accumulate, timesteps(family, member)
    whole = _draw(member, hyper.seed, member.token, step, n, spread)
    return whole[part * hyper.batch : (part + 1) * hyper.batch]


def _draw(member: Member, seed: int, key: str, step: int, n: int, spread: Timesteps) -> Draw:
    return draw(
        seed,
        key,
        step,
        batch=n,
        pictures=[picture.moments.mean.shape for picture in member.pictures],
        captions=len(member.templates),
        timesteps=spread,
    )


def _assemble(family: Family, members: Sequence[Member], drawn: Sequence[Draw]) -> loss.Batch:
    """What was drawn for each of `members`, as the model takes it."""
    prompts: list[str] = []
    latents, noise, t, framing, mask, weight, delta = [], [], [], [], [], [], []
    for k, (member, some) in enumerate(zip(members, drawn, strict=True)):
        hyper = member.hyper
        chosen = [member.pictures[p] for p in some.picture]
        own = [
            reword(picture.filewords, member.captions, seed)
            for picture, seed in zip(chosen, some.wording, strict=True)
        ]
        prompts += [
            marked(render(member.templates[c], loss.mark(k), words), member.token, loss.mark(k))
            for c, words in zip(some.caption, own, strict=True)
        ]
        latents.append(_latents(member, some))
        noise.append(some.noise + hyper.noise_offset * some.shift)
        t.append(some.t)
        seen = list(zip(chosen, some.view, strict=True))
        framing += [picture.framing[v] for picture, v in seen]
        mask += [picture.weight[v] for picture, v in seen]
        weight.append(some.weight * min_snr(family.process, some.t, hyper.min_snr))
        edge = hyper.huber_delta if hyper.loss == "huber" else math.inf
        delta.append(torch.full(some.t.shape, edge))
    return loss.Batch(
        prompts,
        latents=torch.cat(latents),
        noise=torch.cat(noise).to(family.device),
        t=torch.cat(t).to(family.device),
        framing=torch.stack(framing).to(family.device),
        mask=torch.stack(mask).to(family.device),
        weight=torch.cat(weight).to(family.device),
        delta=torch.cat(delta).to(family.device),
    )


def timesteps(family: Family, member: Member) -> Timesteps:
    """The timesteps to learn at, none above what the model knows."""
    hyper, known = member.hyper, family.process.timesteps
    high = min(hyper.max_timestep or known, known)
    return Timesteps(min(hyper.min_timestep, high - 1), high, hyper.timestep_spread, member.density)


def _latents(member: Member, drawn: Draw) -> torch.Tensor:
    """`[B, C, h, w]`: the VAE's mean for each picture, and what is asked for of its spread."""
    hyper = member.hyper
    seen = [(member.pictures[p].moments, v) for p, v in zip(drawn.picture, drawn.view, strict=True)]
    mean = torch.stack([moments.mean[v] for moments, v in seen])
    if hyper.latents == "deterministic":
        return mean
    wobble = drawn.wobble
    if hyper.latents == "once":
        shape = mean.shape[1:]
        kept = [
            kept_wobble(hyper.seed, member.token, p, v, shape)
            for p, v in zip(drawn.picture, drawn.view, strict=True)
        ]
        wobble = torch.stack(kept)
    std = torch.stack([moments.std[v] for moments, v in seen])
    return mean + std * wobble.to(mean)
