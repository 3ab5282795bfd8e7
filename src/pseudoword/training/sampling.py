"""Randomness without state: the samples of a step are a pure function of (seed, concept, step).

A concept has the same pictures, captions, noise and timesteps alone and in a pack. A run that was
killed and is resumed has exactly the samples that it would have had.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pseudoword.rng import generator
from pseudoword.training.timestep_sampling import Timesteps


@dataclass(frozen=True)
class StepSamples:
    """The samples of one concept in one step: `B` of them, for latents `[C, h, w]`, on the CPU."""

    picture: list[int]
    """[B] index of the picture"""
    view: list[int]
    """[B] index of the view of the picture"""
    caption: list[int]
    """[B] index of the template"""
    wording: list[int]
    """[B] seeds for the augmentation of the pictures' captions"""
    t: Tensor
    """[B] int64, the timestep"""
    weight: Tensor
    """[B] weight of the sample; lower at timesteps that are sampled more often"""
    noise: Tensor
    """[B, C, h, w] the noise to predict"""
    latent_noise: Tensor
    """[B, C, h, w] the noise that samples the latent from its moments"""
    offset_noise: Tensor
    """[B, C, 1, 1] the noise of `noise_offset`"""

    def __getitem__(self, own: slice) -> "StepSamples":
        """A slice of the samples."""
        return StepSamples(**{name: values[own] for name, values in vars(self).items()})


def sample_step(
    seed: int,
    concept: str,
    step: int,
    *,
    batch: int,
    pictures: Sequence[Sequence[int]],
    captions: int,
    timesteps: Timesteps,
) -> StepSamples:
    """Choose everything that is random in `step` of `concept`.

    Pictures come in a new order each epoch, so that all are used equally often. The same holds for
    the views of each picture. All latents of a step have one shape. Where there are several shapes,
    they take turns in a new order each round, and each has as many steps as it has pictures.

    Args:
        seed: of the run.
        concept: its token.
        step: counted from 0.
        batch: number of samples.
        pictures: the shape `[views, C, h, w]` of each picture's latents; one that is to be used
            more often than others is there several times.
        captions: how many templates there are.
        timesteps: the timesteps to sample from.
    """
    same_shape, turn = _turn(seed, concept, step, [tuple(shape[1:]) for shape in pictures])
    latent_shape = pictures[same_shape[0]][1:]
    source = generator(seed, concept, step)
    caption = torch.randint(captions, (batch,), generator=source).tolist()
    t = timesteps.draw(batch, source)
    noise = torch.randn(batch, *latent_shape, generator=source, dtype=torch.float32)
    latent_noise = torch.randn(batch, *latent_shape, generator=source, dtype=torch.float32)
    offset_noise = torch.randn(batch, latent_shape[0], 1, 1, generator=source, dtype=torch.float32)
    picture, view = [], []
    for i in range(turn * batch, (turn + 1) * batch):
        epoch, place = _visited(i, len(same_shape), seed, concept, "epoch")
        picture.append(same_shape[place])
        _, index = _visited(epoch, pictures[picture[-1]][0], seed, concept, "views", picture[-1])
        view.append(index)
    words = generator(seed, concept, step, "wording")
    wording = torch.randint(2**62, (batch,), generator=words).tolist()
    return StepSamples(
        picture, view, caption, wording, t, timesteps.weight(t), noise, latent_noise, offset_noise
    )


def fixed_latent_noise(
    seed: int, concept: str, picture: int, view: int, latent_shape: Sequence[int]
) -> Tensor:
    """`[C, h, w]`: the noise that samples a view's latent, once for the whole run."""
    return torch.randn(
        *latent_shape,
        generator=generator(seed, concept, "latent", picture, view),
        dtype=torch.float32,
    )


def _turn(
    seed: int, concept: str, step: int, shapes: Sequence[tuple[int, ...]]
) -> tuple[list[int], int]:
    """The pictures of one shape that `step` uses, and how often they had a turn before."""
    number, place = divmod(step, len(shapes))
    order = torch.randperm(len(shapes), generator=generator(seed, concept, "turns", number))
    turns = [shapes[i] for i in order.tolist()]
    same_shape = [i for i, shape in enumerate(shapes) if shape == turns[place]]
    return same_shape, number * len(same_shape) + turns[:place].count(turns[place])


def _visited(i: int, n: int, *key: object) -> tuple[int, int]:
    """The i-th item of an endless series over n places, with a new order in each epoch.

    Returns:
        The epoch, and the place.
    """
    epoch, number = divmod(i, n)
    return epoch, int(torch.randperm(n, generator=generator(*key, epoch))[number])
