"""The samples of a batch, and one loss per concept: equation 2 of the paper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pseudoword.models.family import Condition, Family, MicroConditioning
from pseudoword.models.reading.injection import Vectors, Words
from pseudoword.training import joint_words
from pseudoword.training.weighting import huber

Denoise = Callable[[Tensor, Tensor, Condition, MicroConditioning], Tensor]
"""like `Family.predict`"""


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
    """[K·B, 1, h, w] weight of each position, one on average"""
    weight: Tensor
    """[K·B] weight of each sample"""
    delta: Tensor
    """[K·B] where the Huber loss changes from a square to a line; infinite: never"""
    others: Words = field(default_factory=dict)
    """placeholder -> rows, of further words in the prompts, which are not learned"""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name, which have a row for each sample."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


def encode_distinct(family: Family, prompts: Sequence[str], words: Words) -> Condition:
    """`family.encode_text` of `B` prompts; each is encoded once, however often it occurs.

    Only the order in which gradients are added is another one.
    """
    places = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    found = family.encode_text([*places], words)
    if len(places) == len(prompts):
        return found
    chosen = torch.tensor([places[prompt] for prompt in prompts], device=found.hidden.device)
    spread: dict[str, Any] = {
        name: tensor.index_select(0, chosen) for name, tensor in found.tensors.items()
    }
    return replace(found, **spread)


def predict(
    family: Family, words: Sequence[Vectors], batch: Batch, denoise: Denoise | None = None
) -> Tensor:
    """The prediction for `batch` with these rows, `[K·B, C, h, w]` float32.

    Words that are in none of its prompts may have none. `denoise` is how the denoiser is run; by
    default `family.predict`.
    """
    placed = {**batch.others}
    for k, rows in enumerate(words):
        placed |= joint_words.placed(k, rows)
    condition = encode_distinct(family, batch.prompts, placed)
    noisy = family.noise_schedule.noisy(batch.latents, batch.noise, batch.t)
    run = denoise or family.predict
    return run(noisy, batch.t, condition, batch.micro_conditioning).float()


def losses(
    family: Family, words: Sequence[Vectors], batch: Batch, denoise: Denoise | None = None
) -> Tensor:
    """The loss of each word with these rows, `[K]`: E ||ε - ε_θ(z_t, t, c_θ(y))||²."""
    return of_samples(family, words, batch, denoise).view(len(words), -1).mean(1)


def of_samples(
    family: Family, words: Sequence[Vectors], batch: Batch, denoise: Denoise | None = None
) -> Tensor:
    """The loss of each sample of `batch`, `[K·B]`.

    Samples and positions are weighted, and squares are replaced by the Huber loss, where the
    settings say so.
    """
    target = family.noise_schedule.target(batch.latents, batch.noise, batch.t)
    difference = predict(family, words, batch, denoise) - target
    error = huber(difference, batch.delta.view(-1, 1, 1, 1))
    return batch.weight * (error * batch.mask).mean((1, 2, 3))


@torch.no_grad()
def effect(family: Family, before: Vectors, after: Vectors, batch: Batch) -> float:
    """Distance of the predictions with the rows `before` and `after`, relative to the first."""
    first = predict(family, [before], batch)
    moved = predict(family, [after], batch) - first
    return float(moved.norm() / first.norm())
