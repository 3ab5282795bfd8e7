"""The noise schedule: noisy latents, and the target that the model should predict.

Maths with `alphas_cumprod` `[T]` only (ᾱ of DDPM, Ho et al. 2020). The model predicts `epsilon`
(the noise) or `v_prediction` (Salimans and Ho 2022).
"""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from torch import Tensor

from pseudoword.errors import BaseModelError

PredictionType = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True)
class NoiseSchedule:
    """A variance-preserving diffusion process.

    Attributes:
        alphas_cumprod: [T] float, falling from near 1 to near (or exactly) 0.
        prediction_type: what the model predicts.
    """

    alphas_cumprod: Tensor
    prediction_type: PredictionType

    @property
    def timesteps(self) -> int:
        """T, the number of timesteps that the model was trained with."""
        return len(self.alphas_cumprod)

    def noisy(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """√ᾱ·latents + √(1−ᾱ)·noise; latents and noise `[B, C, h, w]`, `t` `[B]`."""
        signal, sigma = self._scales(latents, t)
        return signal * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the model should predict, `[B, C, h, w]`."""
        if self.prediction_type == "epsilon":
            return noise
        signal, sigma = self._scales(latents, t)
        return signal * noise - sigma * latents

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio ᾱ/(1−ᾱ) at timesteps `t` `[B]`."""
        alpha = self.alphas_cumprod.to(t.device)[t]
        return alpha / (1 - alpha)

    def _scales(self, like: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.alphas_cumprod.to(like.device, like.dtype)[t].view(-1, 1, 1, 1)
        return alpha.sqrt(), (1 - alpha).sqrt()


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
