"""Randomness without state: every draw is a pure function of (seed, concept, step).

A concept therefore sees the same pictures, captions, noise and timesteps alone and in a pack, and
a run that was killed sees, when resumed, exactly what it would have seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pseudoword.rng import generator
from pseudoword.training.timestep_sampling import Timesteps


@dataclass(frozen=True)
class StepSamples:
    """What one concept sees in one step; `B` samples of latents `[C, h, w]`, all on the CPU."""

    picture: list[int]
    """[B] which picture"""
    view: list[int]
    """[B] which of its views"""
    caption: list[int]
    """[B] which caption template"""
    wording: list[int]
    """[B] seeds of what happens to the pictures' own captions"""
    t: Tensor
    """[B] int64, the timestep"""
    weight: Tensor
    """[B] how much a sample at that timestep counts, since some are drawn more often"""
    noise: Tensor
    """[B, C, h, w] the noise to be predicted"""
    latent_noise: Tensor
    """[B, C, h, w] the noise that samples the latent from its moments"""
    offset_noise: Tensor
    """[B, C, 1, 1] the noise of `noise_offset`"""

    def __getitem__(self, own: slice) -> "StepSamples":
        """Some of the samples."""
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
    """Draw everything random about `step` (counted from 0) of `concept`.

    Pictures are visited in a new order each epoch, so that all are seen equally often, and so are
    the views of each picture. Where latents are of several shapes, a step keeps to one; the shapes
    take turns in a new order each round, in which each has as many steps as it has pictures.

    Args:
        seed: of the run.
        concept: its token.
        step: counted from 0.
        batch: samples to draw.
        pictures: the shape `[views, C, h, w]` of each picture's latents.
        captions: how many templates there are.
        timesteps: which timesteps to draw from.
    """
    alike, turn = _turn(seed, concept, step, [tuple(shape[1:]) for shape in pictures])
    latent_shape = pictures[alike[0]][1:]
    source = generator(seed, concept, step)
    caption = torch.randint(captions, (batch,), generator=source).tolist()
    t = timesteps.draw(batch, source)
    noise = torch.randn(batch, *latent_shape, generator=source)
    latent_noise = torch.randn(batch, *latent_shape, generator=source)
    offset_noise = torch.randn(batch, latent_shape[0], 1, 1, generator=source)
    picture, view = [], []
    for i in range(turn * batch, (turn + 1) * batch):
        epoch, place = _visited(i, len(alike), seed, concept, "epoch")
        picture.append(alike[place])
        _, seen = _visited(epoch, pictures[picture[-1]][0], seed, concept, "views", picture[-1])
        view.append(seen)
    words = generator(seed, concept, step, "wording")
    wording = torch.randint(2**62, (batch,), generator=words).tolist()
    return StepSamples(
        picture, view, caption, wording, t, timesteps.weight(t), noise, latent_noise, offset_noise
    )


def fixed_latent_noise(
    seed: int, concept: str, picture: int, view: int, latent_shape: Sequence[int]
) -> Tensor:
    """`[C, h, w]`: the noise that samples a view's latent, once for the whole run."""
    return torch.randn(*latent_shape, generator=generator(seed, concept, "latent", picture, view))


def _turn(
    seed: int, concept: str, step: int, shapes: Sequence[tuple[int, ...]]
) -> tuple[list[int], int]:
    """The pictures, all of one shape, that `step` draws from, and how often they had a turn."""
    number, place = divmod(step, len(shapes))
    order = torch.randperm(len(shapes), generator=generator(seed, concept, "turns", number))
    turns = [shapes[i] for i in order.tolist()]
    alike = [i for i, shape in enumerate(shapes) if shape == turns[place]]
    return alike, number * len(alike) + turns[:place].count(turns[place])


def _visited(i: int, n: int, *key: object) -> tuple[int, int]:
    """The i-th of an endless series of visits to n places, each epoch in an order of its own.

    Returns:
        The epoch, and the place.
    """
    epoch, number = divmod(i, n)
    return epoch, int(torch.randperm(n, generator=generator(*key, epoch))[number])
