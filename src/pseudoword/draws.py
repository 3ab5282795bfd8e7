"""Randomness without state: every draw is a pure function of (seed, concept, step).

A concept therefore sees the same pictures, captions, noise and timesteps alone and in a pack, and
a run that was killed sees, when resumed, exactly what it would have seen.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from pseudoword.timesteps import Timesteps


@dataclass(frozen=True)
class Draw:
    """What one concept sees in one step; `B` samples of latents `[C, h, w]`, all on the CPU."""

    picture: list[int]
    """[B] which picture"""
    caption: list[int]
    """[B] which caption template"""
    t: Tensor
    """[B] int64, the timestep"""
    noise: Tensor
    """[B, C, h, w] the noise to be predicted"""
    wobble: Tensor
    """[B, C, h, w] the noise that samples the latent from its moments"""
    shift: Tensor
    """[B, C, 1, 1] the noise of `noise_offset`"""

    def __getitem__(self, own: slice) -> "Draw":
        """Some of the samples."""
        return Draw(**{name: values[own] for name, values in vars(self).items()})


def generator(*key: object) -> Generator:
    """A CPU generator seeded by the hash of `key`."""
    digest = hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=8).digest()
    return Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def draw(
    seed: int,
    concept: str,
    step: int,
    *,
    batch: int,
    pictures: int,
    captions: int,
    timesteps: Timesteps,
    latent_shape: Sequence[int],
) -> Draw:
    """Draw everything random about `step` (counted from 0) of `concept`.

    Pictures are visited in a new order each epoch, so that all are seen equally often.
    """
    source = generator(seed, concept, step)
    caption = torch.randint(captions, (batch,), generator=source).tolist()
    t = timesteps.draw(batch, source)
    noise = torch.randn(batch, *latent_shape, generator=source)
    wobble = torch.randn(batch, *latent_shape, generator=source)
    shift = torch.randn(batch, latent_shape[0], 1, 1, generator=source)
    first = step * batch
    picture = [_visited(seed, concept, i, pictures) for i in range(first, first + batch)]
    return Draw(picture, caption, t, noise, wobble, shift)


def kept_wobble(seed: int, concept: str, picture: int, latent_shape: Sequence[int]) -> Tensor:
    """`[C, h, w]`: the noise that samples a picture's latent, once for the whole run."""
    return torch.randn(*latent_shape, generator=generator(seed, concept, "latent", picture))


def _visited(seed: int, concept: str, i: int, pictures: int) -> int:
    epoch, place = divmod(i, pictures)
    order = torch.randperm(pictures, generator=generator(seed, concept, "epoch", epoch))
    return int(order[place])
