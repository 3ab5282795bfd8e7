"""Latents and captions -> one loss per concept: the only place where a family meets a method."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pseudoword.methods import Method
from pseudoword.models.family import Family, MicroConditioning
from pseudoword.placeholders import named
from pseudoword.training.weighting import huber


@dataclass(frozen=True)
class Batch:
    """The samples of K concepts, `B` each, concept after concept."""

    prompts: Sequence[str]
    """[K·B] captions; concept k's placeholder is written `pack_placeholder(k)`"""
    latents: Tensor
    """[K·B, C, h, w]"""
    noise: Tensor
    """[K·B, C, h, w]"""
    t: Tensor
    """[K·B]"""
    micro_conditioning: MicroConditioning
    """[K·B, 6]"""
    mask: Tensor
    """[K·B, 1, h, w] how much each position counts, one on average"""
    weight: Tensor
    """[K·B] how much each sample counts"""
    delta: Tensor
    """[K·B] where Huber's loss turns from a square into a line; infinite: never"""


def pack_placeholder(k: int) -> str:
    """What stands for the k-th concept of a pack in its prompts.

    A private-use character, so that two concepts of the same name can share a pack.
    """
    return named(k)


def predict(family: Family, methods: Sequence[Method], batch: Batch) -> Tensor:
    """The model's prediction for `batch`, `[K·B, C, h, w]` float32."""
    words = {pack_placeholder(k): method.vectors() for k, method in enumerate(methods)}
    condition = family.encode_text(batch.prompts, words)
    noisy = family.noise_schedule.noisy(batch.latents, batch.noise, batch.t)
    return family.predict(noisy, batch.t, condition, batch.micro_conditioning).float()


def losses(family: Family, methods: Sequence[Method], batch: Batch) -> Tensor:
    """Mean squared error of the prediction per concept, `[K]`: equation 2 of the paper.

    With the settings that ask for it, samples and positions are weighted, and squares are
    Huber's.
    """
    target = family.noise_schedule.target(batch.latents, batch.noise, batch.t)
    error = huber(predict(family, methods, batch) - target, batch.delta.view(-1, 1, 1, 1))
    return (batch.weight * (error * batch.mask).mean((1, 2, 3))).view(len(methods), -1).mean(1)


@torch.no_grad()
def effect(family: Family, before: Method, after: Method, batch: Batch) -> float:
    """How far `after` moves the prediction away from `before`'s, relative to its size."""
    first = predict(family, [before], batch)
    moved = predict(family, [after], batch) - first
    return float(moved.norm() / first.norm())
