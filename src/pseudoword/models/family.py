"""What every family offers, whatever model is behind it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from pseudoword.models.injection import Words
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.noise_schedule import NoiseSchedule
from pseudoword.models.text_encoder import TextEncoder

MicroConditioning = Tensor
"""How pictures were cut, `[B, 6]` in pixels: the original's height and width, the crop's top and
left in the scaled picture, and the result's height and width. SDXL is told so (Podell et al. 2023,
section 2.2), in this order; other families need not look."""


@dataclass(frozen=True)
class GenerationSettings:
    """How pictures are drawn."""

    guidance: float
    guidance_rescale: float
    """how far the guided prediction is brought back to the contrast of the one that follows the
    prompt alone, 0 to 1"""
    sampler_steps: int
    width: int
    height: int
    scheduler: str | None = None
    """one of diffusers' schedulers by name; by default the model's own"""


@dataclass(frozen=True)
class Moments:
    """What the VAE knows of a picture: mean and std of its latent, `[B, C, h, w]`, scaled."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Condition:
    """Text as the denoiser reads it."""

    hidden: Tensor
    """[B, L, D] hidden states; of layered words [B, layers·L, D], one text beside the other"""
    pooled: Tensor | None = None
    """[B, P] the text as one vector, for models that read it so too"""
    layered: bool = False
    """whether each layer of the denoiser has a text of its own"""


class Family(Protocol):
    """A frozen base model."""

    name: str
    source: BaseSource
    placement: Placement
    noise_schedule: NoiseSchedule

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the frozen weights."""
        ...

    @property
    def encoders(self) -> Mapping[str, TextEncoder]:
        """Text encoders that take new words, under ComfyUI's keys."""
        ...

    @property
    def layers(self) -> Sequence[str]:
        """Cross-attention layers of the denoiser that can be given other text each, by name."""
        ...

    @property
    def resolution(self) -> int:
        """Side in pixels of the square pictures the model was made for."""
        ...

    @property
    def resolution_step(self) -> int:
        """Pictures' sides must be multiples of this many pixels."""
        ...

    @property
    def guidance(self) -> float:
        """How strongly it is best made to follow prompts, if nobody says otherwise."""
        ...

    @property
    def guidance_rescale(self) -> float:
        """How far guidance is best rescaled, if nobody says otherwise."""
        ...

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """All parts with weights by name: the text encoders, the denoiser, and the `vae`."""
        ...

    def fingerprint(self) -> str:
        """Tells base models apart, also those of one name: a hash over some of every weight."""
        ...

    def vae_digest(self) -> str:
        """A hash of the VAE's weights, for the key of cached latents."""
        ...

    def encode_pictures(self, pixels: Tensor) -> Moments:
        """`[B, 3, H, W]` in [-1, 1] -> moments of the latents."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """`[B, C, h, w]` -> pixels `[B, 3, H, W]` in [-1, 1]."""
        ...

    def release_vae(self) -> None:
        """Let the VAE leave memory; it comes back by itself when a picture is drawn."""
        ...

    def encode_text(self, prompts: Sequence[str], words: Words) -> Condition:
        """`B` prompts, in which `words` are known, as the denoiser reads them."""
        ...

    def predict(
        self, noisy: Tensor, t: Tensor, condition: Condition, micro_conditioning: MicroConditioning
    ) -> Tensor:
        """What the denoiser predicts for `noisy` `[B, C, h, w]` at `t` `[B]`."""
        ...

    def scheduler(self, name: str | None = None) -> Any:
        """diffusers' scheduler `name` set up for this model, without state; by default its own.

        Raises:
            SettingsError: diffusers has none of that name that fits.
        """
        ...

    def changed_by(self, loras: Sequence[tuple[Path, float]]) -> AbstractContextManager[None]:
        """While open, the model is changed by LoRA files at these weights; then as it was.

        Raises:
            BaseModelError: a file is no LoRA for this model.
        """
        ...

    def check(self, how: GenerationSettings) -> None:
        """Find out whether the model can draw so, without drawing.

        Raises:
            SettingsError: its pipeline, or the scheduler, cannot; the message says why.
        """
        ...

    def draw(
        self,
        prompts: Sequence[str],
        negatives: Sequence[str],
        words: Words,
        generators: Sequence[Generator],
        how: GenerationSettings,
    ) -> list[Image]:
        """Draw one picture per prompt with diffusers' own pipeline."""
        ...
