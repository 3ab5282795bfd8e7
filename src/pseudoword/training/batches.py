"""The data of a concept, and its samples in a step: a function of (seed, token, step)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch

from pseudoword.config import Hyperparameters
from pseudoword.config.captions import CaptionSettings
from pseudoword.data.captions import augment, render
from pseudoword.data.latents import EncodedPicture
from pseudoword.methods import Rows
from pseudoword.models.compute.transfers import sent
from pseudoword.models.family import Family
from pseudoword.placeholders import replace_placeholders
from pseudoword.training import joint_words, loss, other_words
from pseudoword.training.other_words import OtherWords
from pseudoword.training.sampling import StepSamples, fixed_latent_noise, sample_step
from pseudoword.training.timestep_sampling import Timesteps
from pseudoword.training.weighting import min_snr


@dataclass(frozen=True)
class TrainingData:
    """What one concept learns from, and its settings."""

    token: str
    pictures: Sequence[EncodedPicture]
    templates: Sequence[str]
    hyper: Hyperparameters
    captions: CaptionSettings
    initial: Rows = field(default_factory=dict)
    """the initial rows, on the model's device, if settings need them"""
    density: tuple[float, ...] = ()
    """relative frequency of each part of the timesteps; empty: all the same"""
    others: OtherWords = field(default_factory=OtherWords)
    """what else its prompts may have in them"""
    also: Sequence[str] = ()
    """the tokens of further words that are learned with it (`joint_words`)"""
    trial: str = ""
    """the name of a trial before the run, which has other random numbers"""

    @property
    def key(self) -> str:
        """What its random numbers depend on, beside the seed and the step."""
        return f"{self.token}/{self.trial}" if self.trial else self.token

    @property
    def turns(self) -> list[int]:
        """The index of each picture, as often as it is used in an epoch."""
        common = math.gcd(*(picture.repeats for picture in self.pictures))
        return [i for i, one in enumerate(self.pictures) for _ in range(one.repeats // common)]

    @property
    def tokens(self) -> list[str]:
        """Of all words that are learned."""
        return [self.token, *self.also]


def batches(
    family: Family,
    pack: Sequence[TrainingData],
    steps: Sequence[int],
    layered: Sequence[bool],
) -> Iterator[tuple[int, list[int], loss.Batch]]:
    """The batches of a pack: for each batch to accumulate, one per shape of latents.

    Together they hold the samples of one large batch. Concepts that are read in another way have
    batches of their own: the gradient of one that is read once is summed in another order than if
    it were read for each layer, and would be rounded otherwise than alone.

    Each concept takes a step of its own of `steps`, counted from 0; `layered` says whether it has
    rows for each layer then.

    Yields:
        Which of the batches to accumulate it belongs to, counted from 0; the indices of the
        concepts in it; and the batch.
    """
    samples = []
    for data, step in zip(pack, steps, strict=True):
        hyper, n = data.hyper, data.hyper.batch * data.hyper.accumulate
        samples.append(_sample(family, data, hyper.seed, data.key, step, n))
    for part in range(max(data.hyper.accumulate for data in pack)):
        in_part = {
            k: own[part * data.hyper.batch : (part + 1) * data.hyper.batch]
            for k, (data, own) in enumerate(zip(pack, samples, strict=True))
            if part < data.hyper.accumulate
        }
        kinds = {k: (own.noise.shape, layered[k]) for k, own in in_part.items()}
        for kind in dict.fromkeys(kinds.values()):
            alike = [k for k, one in kinds.items() if one == kind]
            own = [in_part[k] for k in alike]
            yield part, alike, _assemble(family, [pack[k] for k in alike], own)


def batch(family: Family, pack: Sequence[TrainingData], step: int) -> loss.Batch:
    """The first batch in `step` of a pack whose latents are of one shape."""
    _, _, first = next(batches(family, pack, len(pack) * [step], len(pack) * [False]))
    return first


def fixed(family: Family, data: TrainingData, n: int) -> list[loss.Batch]:
    """At least `n` samples for evaluation, always the same, in batches of one size.

    They are spread evenly over timesteps and pictures. A batch has latents of one shape; where
    there are several, batches are smaller than those of steps, so that all have a turn, or as many
    as there are samples. Training never uses them: they have a random key of their own. Their noise
    does not depend on the seed, so that runs with different seeds can be compared.
    """
    size, turns = data.hyper.batch, 1
    if len({picture.moments.mean.shape[1:] for picture in data.pictures}) > 1:
        turns = min(len(data.turns), n)
        size = min(size, max(2, n // turns))  # one sample alone would be rounded otherwise
    parts = max(math.ceil(n / size), turns)
    spread = timesteps(family, data)
    t = spread.even(parts * size)
    key = f"{data.token}/evaluation"
    samples = [_sample(family, data, 0, key, i, size) for i in range(parts)]
    at = [t[i::parts] for i in range(parts)]
    each = [replace(one, t=t, weight=spread.weight(t)) for one, t in zip(samples, at, strict=True)]
    return [_assemble(family, [data], [one]) for one in each]


def _sample(
    family: Family, data: TrainingData, seed: int, key: str, step: int, batch: int
) -> StepSamples:
    """`sample_step` of the pictures, templates and timesteps of `data`."""
    turns = data.turns
    samples = sample_step(
        seed,
        key,
        step,
        batch=batch,
        pictures=[data.pictures[i].moments.mean.shape for i in turns],
        captions=len(data.templates),
        timesteps=timesteps(family, data),
    )
    return replace(samples, picture=[turns[i] for i in samples.picture])


def _assemble(
    family: Family, pack: Sequence[TrainingData], samples: Sequence[StepSamples]
) -> loss.Batch:
    """The samples of each concept of a pack as one batch on the model's device."""
    prompts: list[str] = []
    latents, noise, t, micro_conditioning, mask, weight, delta = [], [], [], [], [], [], []
    for k, (data, own) in enumerate(zip(pack, samples, strict=True)):
        hyper = data.hyper
        pictures = [data.pictures[p] for p in own.picture]
        captions = [
            augment(picture.filewords, data.captions, seed)
            for picture, seed in zip(pictures, own.wording, strict=True)
        ]
        prompts += [
            prompt(data, c, words, picture.filewords, k)
            for c, words, picture in zip(own.caption, captions, pictures, strict=True)
        ]
        latents.append(_latents(data, own))
        noise.append(own.noise + hyper.noise_offset * own.offset_noise)
        t.append(own.t)
        views = list(zip(pictures, own.view, strict=True))
        micro_conditioning += [picture.micro_conditioning[v] for picture, v in views]
        mask += [picture.weight[v] for picture, v in views]
        weight.append(own.weight * min_snr(family.noise_schedule, own.t, hyper.min_snr))
        limit = hyper.huber_delta if hyper.loss == "huber" else math.inf
        delta.append(torch.full(own.t.shape, limit, dtype=torch.float32))
    return loss.Batch(
        prompts,
        latents=torch.cat(latents),
        noise=sent(torch.cat(noise), family.device),
        t=sent(torch.cat(t), family.device),
        micro_conditioning=sent(torch.stack(micro_conditioning), family.device),
        mask=sent(torch.stack(mask), family.device),
        weight=sent(torch.cat(weight), family.device),
        delta=sent(torch.cat(delta), family.device),
        others=other_words.merged(data.others.rows for data in pack),
    )


def prompt(data: TrainingData, template: int, filewords: str, whole: str, k: int) -> str:
    """A prompt of the k-th concept of a pack, with the template of that number.

    `filewords` is what is left of the `whole` caption of the picture. Words of the concept that
    were in the part that was left out come first, if no other one is there.
    """
    own = joint_words.placeholders(k, data.tokens)
    marks, name = {**data.others.marks, **own}, own[data.token]

    def marked(text: str, filewords: str = "") -> str:
        return replace_placeholders(render(text, name, filewords), marks)

    text = marked(data.templates[template], filewords)
    if any(mark in text for mark in own.values()):
        return text
    before = marked(whole) if data.also else name
    first = ", ".join(mark for mark in own.values() if mark in before) or name
    return f"{first}, {text}".rstrip(" ,")


def timesteps(family: Family, data: TrainingData) -> Timesteps:
    """The timesteps to train at; none is beyond those of the model."""
    hyper, known = data.hyper, family.noise_schedule.timesteps
    high = min(hyper.max_timestep or known, known)
    return Timesteps(min(hyper.min_timestep, high - 1), high, hyper.timestep_sampling, data.density)


def _latents(data: TrainingData, samples: StepSamples) -> torch.Tensor:
    """Latents `[B, C, h, w]`, sampled from the moments as `latent_sampling` says."""
    hyper = data.hyper
    views = [
        (data.pictures[p].moments, v) for p, v in zip(samples.picture, samples.view, strict=True)
    ]
    mean = torch.stack([moments.mean[v] for moments, v in views])
    if hyper.latent_sampling == "deterministic":
        return mean
    latent_noise = samples.latent_noise
    if hyper.latent_sampling == "once":
        shape = mean.shape[1:]
        fixed_noise = [
            fixed_latent_noise(hyper.seed, data.key, p, v, shape)
            for p, v in zip(samples.picture, samples.view, strict=True)
        ]
        latent_noise = torch.stack(fixed_noise)
    std = torch.stack([moments.std[v] for moments, v in views])
    return mean + std * sent(latent_noise, mean.device).to(mean.dtype)
