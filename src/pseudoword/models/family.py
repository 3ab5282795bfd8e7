"""What every family of base models can do, and the values it works with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from pseudoword.models.drawing_defaults import DrawingDefaults
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.noise_schedule import NoiseSchedule
from pseudoword.models.reading.injection import Words
from pseudoword.models.reading.prompts import Prompts
from pseudoword.models.reading.text_encoder import TextEncoder

MicroConditioning = Tensor
"""How pictures were cropped, `[B, 6]` in pixels: height and width of the original, top and left of
the crop in the scaled picture, height and width of the result. SDXL is conditioned on these, in
this order (Podell et al. 2023, section 2.2); other families ignore them."""


@dataclass(frozen=True)
class GenerationSettings:
    """The settings of a drawing."""

    guidance: float
    guidance_rescale: float
    """how far the contrast of the guided prediction is reduced to that of the prediction for the
    prompt alone, 0 to 1"""
    sampler_steps: int
    width: int
    height: int
    scheduler: str | None
    """one of diffusers' schedulers by name; by default the model's own"""


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of the VAE's latents of pictures, `[B, C, h, w]`, scaled."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Condition:
    """Text as the denoiser reads it."""

    hidden: Tensor
    """[B, L, D] hidden states; with layered concepts [B, layers·L, D], joined along the tokens; of
    a denoiser that mixes several blocks of its text encoder itself, [B, L, blocks, D]"""
    pooled: Tensor | None = None
    """[B, P] the text as one vector, for models that also read this"""
    mask: Tensor | None = None
    """[B, L] 1 or 0, which positions of `hidden` the denoiser reads; None: all"""
    layered: bool = False
    """whether each layer of the denoiser reads its own part"""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those of its tensors that there are, by name."""
        every = {"hidden": self.hidden, "pooled": self.pooled, "mask": self.mask}
        return {name: tensor for name, tensor in every.items() if tensor is not None}


class Family(ABC):
    """A frozen base model."""

    name: str
    reads_weights: bool
    """whether prompts to draw may have weights and any length; if not, they are plain text"""
    reads_negative = True
    """whether it is guided away from a negative prompt"""
    graphable = True
    """whether the denoiser can be a CUDA graph: it does the same for all batches of a shape, and
    nothing that it needs is in main memory"""
    source: BaseSource
    placement: Placement
    noise_schedule: NoiseSchedule
    denoiser: Any
    """diffusers' U-Net or transformer"""
    encoders: Mapping[str, TextEncoder]
    """ComfyUI's key -> text encoder that reads new words"""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.placement.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the frozen weights."""
        return self.placement.dtype

    @property
    def layers(self) -> Sequence[str]:
        """Names of the denoiser's cross-attention layers that can each read a different text."""
        return ()

    @property
    @abstractmethod
    def resolution(self) -> int:
        """Side in pixels of the square pictures that the model was made for."""

    @property
    @abstractmethod
    def resolution_step(self) -> int:
        """The sides of pictures must be multiples of this many pixels."""

    @property
    @abstractmethod
    def defaults(self) -> DrawingDefaults:
        """How it is drawn by default."""

    @abstractmethod
    def modules(self) -> Mapping[str, torch.nn.Module]:
        """All parts with weights by name: text encoders, denoiser and `vae`."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash over a sample of every weight, which differs between base models."""

    @abstractmethod
    def vae_digest(self) -> str:
        """A hash of the VAE's weights, for the key of cached latents."""

    @abstractmethod
    def encode_pictures(self, pixels: Tensor) -> Moments:
        """`[B, 3, H, W]` in [-1, 1] -> moments of the latents."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """`[B, C, h, w]` -> pixels `[B, 3, H, W]` in [-1, 1]."""

    @abstractmethod
    def release_vae(self) -> None:
        """Free the VAE's memory; it is loaded again when a picture is drawn."""

    @abstractmethod
    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        """Encode `B` prompts, with the rows of `words` at their placeholders."""

    def encode_negative(self, prompts: Prompts, words: Words) -> Condition:
        """Encode `B` negative prompts, which a family may read in its own way."""
        return self.encode_text(prompts, words)

    @abstractmethod
    def predict(
        self, noisy: Tensor, t: Tensor, condition: Condition, micro_conditioning: MicroConditioning
    ) -> Tensor:
        """The denoiser's prediction for `noisy` `[B, C, h, w]` at timesteps `t` `[B]`."""

    @abstractmethod
    def scheduler(self, name: str | None = None) -> Any:
        """A new scheduler of diffusers, configured for this model; by default the model's own.

        Raises:
            SettingsError: diffusers has no compatible one with this name.
        """

    @abstractmethod
    def with_loras(self, loras: Sequence[tuple[Path, float]]) -> AbstractContextManager[None]:
        """While open, LoRA files are applied to the model, each with its weight.

        Raises:
            BaseModelError: a file is no LoRA for this model.
        """

    @abstractmethod
    def check_size(self, width: int, height: int) -> None:
        """Check whether the model can train on and draw pictures of this size.

        Raises:
            SettingsError: they are too large for it.
        """

    @abstractmethod
    def check(self, settings: GenerationSettings) -> None:
        """Check whether the model can draw with `settings`, without drawing.

        Raises:
            SettingsError: its pipeline or the scheduler cannot; the message says why.
        """

    @abstractmethod
    def draw(
        self,
        prompts: Prompts,
        negatives: Prompts,
        words: Words,
        generators: Sequence[Generator],
        settings: GenerationSettings,
        on_step: Callable[[], None],
    ) -> list[Image]:
        """Draw one picture per prompt with diffusers' pipeline.

        `on_step` is called after each denoising step.
        """
