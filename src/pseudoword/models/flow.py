"""Flow matching: a straight line from latents to noise (Lipman et al. 2022; Esser et al. 2024).

The noise level σ goes from 0 to 1. Models of this kind are trained, and draw, with levels that are
shifted towards 1: large pictures need more noise until nothing is seen of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pseudoword.errors import BaseModelError
from pseudoword.models.compute.transfers import Table
from pseudoword.models.loading import folder
from pseudoword.models.noise_schedule import NoiseSchedule


@dataclass(frozen=True)
class Flow(NoiseSchedule):
    """Noisy latents (1−σ)·latents + σ·noise; the model predicts the line's direction.

    Attributes:
        sigmas: [T] float, rising from near 0 to 1.
    """

    sigmas: Tensor

    @cached_property
    def _sigmas(self) -> Table:
        return Table(self.sigmas)

    @property
    def timesteps(self) -> int:
        return len(self.sigmas)

    def scales(self, like: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        sigma = self._sigmas.on(like.device).to(like.dtype)[t].view(-1, 1, 1, 1)
        return 1 - sigma, sigma

    def target(self, latents: Tensor, noise: Tensor, _t: Tensor) -> Tensor:
        return noise - latents

    def min_snr(self, t: Tensor, gamma: float) -> Tensor:
        # latents = noisy − σ·prediction, so an error of theirs is σ times one of the prediction
        sigma = self._sigmas.on(t.device)[t]
        snr = ((1 - sigma) / sigma).square()
        return sigma.square() * snr.clamp(max=gamma)

    def times(self, t: Tensor) -> Tensor:
        # σ·T
        return self._sigmas.on(t.device)[t] * self.timesteps


def flow_schedule(
    config: Mapping[str, Any],
    timesteps: int,
    tokens: int,
    where: str,
    *,
    mu: float | None = None,
) -> Flow:
    """The noise levels that a scheduler of diffusers uses for a picture.

    Timesteps are then as dense, at each noise level, as the steps of a drawing are.

    Args:
        config: the scheduler's.
        timesteps: how many.
        tokens: patches of the picture, for models that shift by its size.
        where: what errors call the config.
        mu: the logarithm of the shift of a model that shifts by size; by default, the config's
            numbers give it.

    Raises:
        BaseModelError: there is something else in the config than numbers that make sense.
    """

    def number(name: str, usual: float) -> float:
        value = config.get(name)
        return folder.finite_number(usual if value is None else value, f"{where}: {name}")

    if config.get("use_dynamic_shifting"):
        low, high = number("base_image_seq_len", 256), number("max_image_seq_len", 4096)
        least, most = number("base_shift", 0.5), number("max_shift", 1.15)
        line = least + (most - least) * (tokens - low) / torch.tensor(
            high - low, dtype=torch.float64
        )
        found = line if mu is None else torch.tensor(mu, dtype=torch.float64)
        shift = float(found if config.get("time_shift_type") == "linear" else found.exp())
    else:
        shift = number("flow_shift", number("shift", 1.0))
    sigmas = shifted(torch.arange(1, timesteps + 1, dtype=torch.float64) / timesteps, shift)
    if config.get("shift_terminal"):
        sigmas = stretched(sigmas, number("shift_terminal", 0.0))
    if not (sigmas.diff() > 0).all() or not 0 < sigmas[0] <= sigmas[-1] <= 1:
        raise BaseModelError(
            f"{where} gives no valid noise levels (shift, base_shift, max_shift …)"
        )
    return Flow(sigmas.float())


def shifted(sigmas: Tensor, shift: float) -> Tensor:
    """Noise levels moved towards 1, for `shift` above 1 (Esser et al. 2024, equation 23)."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def stretched(sigmas: Tensor, first: float) -> Tensor:
    """Rising noise levels `[T]`, moved away from 1 so that they begin with `first`."""
    return 1 - (1 - sigmas) * (1 - first) / (1 - sigmas[0])
