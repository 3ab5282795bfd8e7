"""The noise schedule: noisy latents, and the target that the model should predict.

A timestep is an index from 0 (little noise) to T - 1. Noisy latents are signal·latents + σ·noise.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast, get_args

from torch import Tensor

from pseudoword.errors import BaseModelError
from pseudoword.models.compute.transfers import Table

PredictionType = Literal["epsilon", "v_prediction"]


class NoiseSchedule(ABC):
    """How much of noisy latents is signal and how much noise, and what the model predicts."""

    @property
    @abstractmethod
    def timesteps(self) -> int:
        """T, the number of timesteps that the model was trained with."""

    @abstractmethod
    def scales(self, like: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Scales of signal and noise at `t` `[B]`: `[B, 1, 1, 1]` each, on the device of `like`."""

    @abstractmethod
    def target(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the model should predict, `[B, C, h, w]`."""

    @abstractmethod
    def min_snr(self, t: Tensor, gamma: float) -> Tensor:
        """Weights `[B]` of errors of the prediction, where those of latents have min(SNR, γ).

        SNR is the signal-to-noise ratio, of the powers, at timesteps `t` `[B]`.
        """

    def times(self, t: Tensor) -> Tensor:
        """How the model is told the timesteps `t` `[B]`, as by its scheduler: `[B]`."""
        return t

    def noisy(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """signal·latents + σ·noise; latents and noise `[B, C, h, w]`, `t` `[B]`."""
        signal, sigma = self.scales(latents, t)
        return signal * latents + sigma * noise


@dataclass(frozen=True)
class Diffusion(NoiseSchedule):
    """A variance-preserving diffusion process: signal √ᾱ, noise √(1−ᾱ).

    The model predicts `epsilon` (the noise; Ho et al. 2020) or `v_prediction` (Salimans and Ho
    2022).

    Attributes:
        alphas_cumprod: ᾱ, [T] float, falling from near 1 to near (or exactly) 0.
        prediction_type: what the model predicts.
    """

    alphas_cumprod: Tensor
    prediction_type: PredictionType

    @cached_property
    def _alphas(self) -> Table:
        return Table(self.alphas_cumprod)

    @property
    def timesteps(self) -> int:
        return len(self.alphas_cumprod)

    def scales(self, like: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self._alphas.on(like.device).to(like.dtype)[t].view(-1, 1, 1, 1)
        return alpha.sqrt(), (1 - alpha).sqrt()

    def target(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        if self.prediction_type == "epsilon":
            return noise
        signal, sigma = self.scales(latents, t)
        return signal * noise - sigma * latents

    def min_snr(self, t: Tensor, gamma: float) -> Tensor:
        alpha = self._alphas.on(t.device)[t]
        snr = alpha / (1 - alpha)
        if self.prediction_type == "v_prediction":
            return snr.clamp(max=gamma) / (snr + 1)
        return (gamma / snr).clamp(max=1)


def prediction_type(name: str) -> PredictionType:
    """Check the `prediction_type` of a scheduler's config.

    Raises:
        BaseModelError: training does not support it.
    """
    if name not in get_args(PredictionType):
        raise BaseModelError(
            f"this base model predicts {name!r}; supported: {', '.join(get_args(PredictionType))}"
        )
    return cast(PredictionType, name)
