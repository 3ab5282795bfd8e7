"""The VAE of a latent diffusion model: pictures to latents and back."""

import hashlib
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pseudoword.models.family import Moments
from pseudoword.models.loading import folder
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.part_checks import check_output, working_together


def pixels_per_latent(parts: ModelParts) -> int:
    """Pixels per latent position along a side, from the VAE's config.

    Raises:
        BaseModelError: there is no config, or it is damaged.
    """
    from diffusers import AutoencoderKL

    config = parts.config(AutoencoderKL, "vae")
    return int(2 ** folder.halving_count(config, f"{parts.source.name}: its vae"))


class Autoencoder:
    """diffusers' AutoencoderKL, loaded when it is first used."""

    def __init__(self, parts: ModelParts, channels: int) -> None:
        """The VAE of a model.

        Args:
            parts: the model.
            channels: of the latents that its denoiser works with.
        """
        self.parts = parts
        self.channels = channels

    @cached_property
    def model(self) -> Any:
        """The VAE itself, in float32 where half precision would overflow."""
        from diffusers import AutoencoderKL

        dtype = self.parts.placement.dtype
        config = self.parts.config(AutoencoderKL, "vae")
        upcast = dtype is torch.float16 or config.get("force_upcast", True)
        vae = self.parts.load_frozen(
            AutoencoderKL, "vae", torch_dtype=torch.float32 if upcast else dtype
        )
        vae.enable_slicing()
        if vae.device.type != "meta":
            self._check(vae)
        return vae

    @property
    def is_loaded(self) -> bool:
        """Whether the VAE is in memory."""
        return "model" in vars(self)

    def release(self) -> None:
        """Free the VAE's memory; it is loaded again when it is used."""
        self.__dict__.pop("model", None)

    @cached_property
    def scale(self) -> int:
        """Pixels per latent position along a side, without loading the VAE."""
        return pixels_per_latent(self.parts)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Moments:
        """`[B, 3, H, W]` in [-1, 1] -> moments of the latents."""
        with self.parts.on_device(self.model):
            device = self.parts.placement.device
            latents = self.model.encode(pixels.to(device, self.model.dtype)).latent_dist
        shift, factor = _scaling(self.model)
        return Moments((latents.mean.float() - shift) * factor, latents.std.float() * factor)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """`[B, C, h, w]` -> pixels `[B, 3, H, W]` in [-1, 1]."""
        shift, factor = _scaling(self.model)
        scaled = latents.to(self.model.dtype) / factor + shift
        with self.parts.on_device(self.model):
            pixels: Tensor = self.model.decode(scaled, return_dict=False)[0]
        return pixels

    def digest(self) -> str:
        """A hash of all weights, for the key of cached latents."""
        digest = hashlib.blake2b(digest_size=16)
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        shift, factor = _scaling(self.model)
        digest.update(f"{self.model.dtype} {factor}{f' {shift}' if shift else ''}".encode())
        return digest.hexdigest()

    @torch.no_grad()
    def _check(self, vae: Any) -> None:
        """Check on a small picture that the VAE gives finite numbers in the right shape."""
        placement, name = self.parts.placement, self.parts.source.name
        side = 2
        pixels = torch.zeros(
            1, 3, side * self.scale, side * self.scale, device=placement.device, dtype=vae.dtype
        )
        with working_together(name, "VAE"), self.parts.on_device(vae):
            shift, factor = _scaling(vae)
            latent = vae.encode(pixels).latent_dist.mean
            check_output(
                (latent - shift) * factor, (1, self.channels, side, side), name, placement.dtype
            )
            decoded = vae.decode(latent / factor + shift, return_dict=False)[0]
            check_output(decoded, tuple(pixels.shape), name, placement.dtype)


def _scaling(vae: Any) -> tuple[float, float]:
    """What is subtracted from the VAE's latents, and what they are then multiplied with."""
    shift: float | None = vae.config.shift_factor
    return shift or 0.0, vae.config.scaling_factor
