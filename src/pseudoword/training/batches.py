"""What a concept is learned from, and its samples in a step, drawn from (seed, token, step)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import torch

from pseudoword.config import Hyperparameters
from pseudoword.config.captions import CaptionSettings
from pseudoword.data.captions import augment, render
from pseudoword.data.latents import EncodedPicture
from pseudoword.models.family import Family
from pseudoword.placeholders import replace_placeholder
from pseudoword.training import loss
from pseudoword.training.sampling import StepSamples, fixed_latent_noise, sample_step
from pseudoword.training.timestep_sampling import Timesteps
from pseudoword.training.weighting import min_snr


@dataclass(frozen=True)
class TrainingData:
    """What one concept is learned from, and how its samples are drawn."""

    token: str
    pictures: Sequence[EncodedPicture]
    templates: Sequence[str]
    hyper: Hyperparameters
    captions: CaptionSettings
    density: tuple[float, ...] = ()
    """how often each part of the timesteps is drawn; empty: all alike"""


def batches(
    family: Family, pack: Sequence[TrainingData], step: int
) -> Iterator[tuple[list[int], loss.Batch]]:
    """The samples of all concepts of a pack in `step`: for each batch to accumulate, one for each
    shape of latents. Together they are the samples of one large batch.

    Yields:
        Which of the concepts see latents of one shape, and what they see.
    """
    drawn = []
    for data in pack:
        hyper, n = data.hyper, data.hyper.batch * data.hyper.accumulate
        drawn.append(sample_step(hyper.seed, data.token, step, batch=n, **_of(family, data)))
    for part in range(max(data.hyper.accumulate for data in pack)):
        own = {
            k: some[part * data.hyper.batch : (part + 1) * data.hyper.batch]
            for k, (data, some) in enumerate(zip(pack, drawn, strict=True))
            if part < data.hyper.accumulate
        }
        for shape in dict.fromkeys(some.noise.shape for some in own.values()):
            alike = [k for k, some in own.items() if some.noise.shape == shape]
            yield alike, _assemble(family, [pack[k] for k in alike], [own[k] for k in alike])


def batch(family: Family, pack: Sequence[TrainingData], step: int) -> loss.Batch:
    """The first batch in `step` of a pack whose latents are of one shape."""
    return next(batches(family, pack, step))[1]


def fixed(family: Family, data: TrainingData, n: int) -> list[loss.Batch]:
    """At least `n` samples that are always the same, evenly spread over timesteps and pictures.

    In batches of the concept's size. Training never sees them: they are drawn under another key.
    Nor does their noise depend on its seed, so that words of other seeds can be compared.
    """
    size = data.hyper.batch
    parts = math.ceil(n / size)
    spread = timesteps(family, data)
    t = spread.even(parts * size)
    key = f"{data.token}/evaluation"
    drawn = [sample_step(0, key, i, batch=size, **_of(family, data)) for i in range(parts)]
    at = [t[i::parts] for i in range(parts)]
    each = [replace(some, t=t, weight=spread.weight(t)) for some, t in zip(drawn, at, strict=True)]
    return [_assemble(family, [data], [some]) for some in each]


class _Of(TypedDict):
    pictures: list[torch.Size]
    captions: int
    timesteps: Timesteps


def _of(family: Family, data: TrainingData) -> _Of:
    """What samples are drawn from."""
    return {
        "pictures": [picture.moments.mean.shape for picture in data.pictures],
        "captions": len(data.templates),
        "timesteps": timesteps(family, data),
    }


def _assemble(
    family: Family, pack: Sequence[TrainingData], drawn: Sequence[StepSamples]
) -> loss.Batch:
    """What was drawn for each concept of a pack, as the model takes it."""
    prompts: list[str] = []
    latents, noise, t, micro_conditioning, mask, weight, delta = [], [], [], [], [], [], []
    for k, (data, some) in enumerate(zip(pack, drawn, strict=True)):
        hyper = data.hyper
        chosen = [data.pictures[p] for p in some.picture]
        own = [
            augment(picture.filewords, data.captions, seed)
            for picture, seed in zip(chosen, some.wording, strict=True)
        ]
        prompts += [
            replace_placeholder(
                render(data.templates[c], loss.pack_placeholder(k), words),
                data.token,
                loss.pack_placeholder(k),
            )
            for c, words in zip(some.caption, own, strict=True)
        ]
        latents.append(_latents(data, some))
        noise.append(some.noise + hyper.noise_offset * some.offset_noise)
        t.append(some.t)
        seen = list(zip(chosen, some.view, strict=True))
        micro_conditioning += [picture.micro_conditioning[v] for picture, v in seen]
        mask += [picture.weight[v] for picture, v in seen]
        weight.append(some.weight * min_snr(family.noise_schedule, some.t, hyper.min_snr))
        edge = hyper.huber_delta if hyper.loss == "huber" else math.inf
        delta.append(torch.full(some.t.shape, edge))
    return loss.Batch(
        prompts,
        latents=torch.cat(latents),
        noise=torch.cat(noise).to(family.device),
        t=torch.cat(t).to(family.device),
        micro_conditioning=torch.stack(micro_conditioning).to(family.device),
        mask=torch.stack(mask).to(family.device),
        weight=torch.cat(weight).to(family.device),
        delta=torch.cat(delta).to(family.device),
    )


def timesteps(family: Family, data: TrainingData) -> Timesteps:
    """The timesteps to learn at, none above what the model knows."""
    hyper, known = data.hyper, family.noise_schedule.timesteps
    high = min(hyper.max_timestep or known, known)
    return Timesteps(min(hyper.min_timestep, high - 1), high, hyper.timestep_sampling, data.density)


def _latents(data: TrainingData, drawn: StepSamples) -> torch.Tensor:
    """`[B, C, h, w]`: the VAE's mean for each picture, and what is asked for of its spread."""
    hyper = data.hyper
    seen = [(data.pictures[p].moments, v) for p, v in zip(drawn.picture, drawn.view, strict=True)]
    mean = torch.stack([moments.mean[v] for moments, v in seen])
    if hyper.latent_sampling == "deterministic":
        return mean
    latent_noise = drawn.latent_noise
    if hyper.latent_sampling == "once":
        shape = mean.shape[1:]
        kept = [
            fixed_latent_noise(hyper.seed, data.token, p, v, shape)
            for p, v in zip(drawn.picture, drawn.view, strict=True)
        ]
        latent_noise = torch.stack(kept)
    std = torch.stack([moments.std[v] for moments, v in seen])
    return mean + std * latent_noise.to(mean)
