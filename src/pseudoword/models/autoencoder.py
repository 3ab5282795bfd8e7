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


class Autoencoder:
    """diffusers' AutoencoderKL, loaded when it is first used."""

    kind = "AutoencoderKL"
    """its class in diffusers"""
    blocks = "block_out_channels"
    """the entry of its config with one number for each size that it works in"""
    upcasts = True
    """whether half precision overflows if its config does not say otherwise"""

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
        import diffusers

        dtype, kind = self.parts.placement.dtype, getattr(diffusers, self.kind)
        config = self.parts.config(kind, "vae")
        upcast = dtype is torch.float16 or config.get("force_upcast", self.upcasts)
        vae = self.parts.load_frozen(kind, "vae", torch_dtype=torch.float32 if upcast else dtype)
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
        return self.pixels(self.parts)

    @classmethod
    def pixels(cls, parts: ModelParts) -> int:
        """Pixels per latent position along a side, from the config in `parts`.

        Raises:
            BaseModelError: there is no config, or it is damaged.
        """
        import diffusers

        config = parts.config(getattr(diffusers, cls.kind), "vae")
        return int(2 ** folder.halving_count(config, f"{parts.source.name}: its vae", cls.blocks))

    def moments(self, encoded: Any) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of what the VAE's encoder gave."""
        return encoded.latent_dist.mean, encoded.latent_dist.std

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Moments:
        """`[B, 3, H, W]` in [-1, 1] -> moments of the latents."""
        with self.parts.on_device(self.model):
            device = self.parts.placement.device
            mean, std = self.moments(self.model.encode(pixels.to(device, self.model.dtype)))
        shift, factor = _scaling(self.model)
        return Moments((mean.float() - shift) * factor, std.float() * factor)

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
            latent, _ = self.moments(vae.encode(pixels))
            check_output(
                (latent - shift) * factor, (1, self.channels, side, side), name, placement.dtype
            )
            decoded = vae.decode(latent / factor + shift, return_dict=False)[0]
            check_output(decoded, tuple(pixels.shape), name, placement.dtype)


class DeepAutoencoder(Autoencoder):
    """diffusers' AutoencoderDC (Chen et al. 2024): few latents, and the same in each pass."""

    kind = "AutoencoderDC"
    blocks = "encoder_block_out_channels"
    upcasts = False

    def moments(self, encoded: Any) -> tuple[Tensor, Tensor]:
        """The latents themselves, without variance."""
        latent = encoded.latent.contiguous()
        return latent, torch.zeros_like(latent)


def _scaling(vae: Any) -> tuple[float, float]:
    """What is subtracted from the VAE's latents, and what they are then multiplied with."""
    shift: float | None = vae.config.get("shift_factor")
    return shift or 0.0, vae.config.scaling_factor
