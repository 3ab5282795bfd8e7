"""The VAE of a latent diffusion model: pictures to latents and back."""

import hashlib
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pseudoword.models.diffusers_classes import diffusers_class
from pseudoword.models.family import Moments
from pseudoword.models.loading import folder
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.loading.weights import sampled_digest
from pseudoword.models.part_checks import check_output, working_together

Scaling = Tensor | float


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
        self._digests: dict[str, str] = {}  # of a sample of the weights -> of all

    @cached_property
    def model(self) -> Any:
        """The VAE itself, in float32 where half precision would overflow."""
        kind, half = diffusers_class(self.kind), self.parts.placement.dtype is torch.float16
        upcast = half or self.parts.config(kind, "vae").get("force_upcast", self.upcasts)
        vae = self.parts.load_frozen(kind, "vae", dtype=torch.float32 if upcast else None)
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
        return self.scale_of(self.parts)

    @classmethod
    def scale_of(cls, configs: ModelConfigs) -> int:
        """Pixels per latent position along a side, from the config in `configs`.

        Raises:
            BaseModelError: there is no config, or it is damaged.
        """
        config = configs.config(diffusers_class(cls.kind), "vae")
        return int(2 ** folder.halving_count(config, f"{configs.source.name}: its vae", cls.blocks))

    def moments(self, vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the VAE's own latents, `[B, C, h, w]`."""
        found = vae.encode(pixels).latent_dist
        return found.mean, found.std

    def pixels_of(self, vae: Any, latents: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` of the VAE's own latents."""
        pixels: Tensor = vae.decode(latents, return_dict=False)[0]
        return pixels

    def scaling(self, vae: Any, latents: Tensor) -> tuple[Scaling, Scaling]:
        """What is subtracted from the VAE's own latents, and what they are then multiplied with.

        Numbers, or tensors that fit `latents`, `[B, C, h, w]`.
        """
        del latents
        return vae.config.get("shift_factor") or 0.0, vae.config.scaling_factor

    def unscaled(self, vae: Any, latents: Tensor) -> Tensor:
        """The VAE's own latents, of those that the denoiser works with; both `[B, C, h, w]`."""
        shift, factor = self.scaling(vae, latents)
        return latents / factor + shift

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Moments:
        """`[B, 3, H, W]` in [-1, 1] -> moments of the latents."""
        with self.parts.on_device(self.model):
            device = self.parts.placement.device
            mean, std = self.moments(self.model, pixels.to(device, self.model.dtype))
        shift, factor = self.scaling(self.model, mean)
        return Moments((mean.float() - shift) * factor, std.float() * factor)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """`[B, C, h, w]` -> pixels `[B, 3, H, W]` in [-1, 1]."""
        with self.parts.on_device(self.model):
            unscaled = self.unscaled(self.model, latents.to(self.model.dtype))
            return self.pixels_of(self.model, unscaled)

    def digest(self) -> str:
        """A hash of all weights, for the key of cached latents.

        It is computed once: a sample tells whether a VAE that was loaded again is the same. All of
        Stable Diffusion's takes most of a second, which each word of a pack would wait for.
        """
        sample = f"{sampled_digest(self.model)} {self._about()}"
        if sample not in self._digests:
            self._digests[sample] = self._digest_of_all()
        return self._digests[sample]

    def _digest_of_all(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            numbers = weight.cpu().contiguous().flatten()
            digest.update(numbers.view(torch.uint8).numpy().tobytes())
        digest.update(self._about().encode())
        return digest.hexdigest()

    def _about(self) -> str:
        """What latents depend on beside the weights."""
        return f"{self.model.dtype} {self.scaling_text(self.model)}"

    def scaling_text(self, vae: Any) -> str:
        """What `scaling` takes from the config, as a text."""
        shift, factor = vae.config.get("shift_factor"), vae.config.scaling_factor
        return f"{factor} {shift}" if shift else f"{factor}"

    @torch.no_grad()
    def _check(self, vae: Any) -> None:
        """Check on a small picture that the VAE gives finite numbers in the right shape."""
        placement, name, side = self.parts.placement, self.parts.source.name, 2
        pixels = torch.zeros(
            1, 3, side * self.scale, side * self.scale, device=placement.device, dtype=vae.dtype
        )
        with working_together(name, "VAE"), self.parts.on_device(vae):
            latent, _ = self.moments(vae, pixels)
            shift, factor = self.scaling(vae, latent)
            scaled = (latent - shift) * factor
            check_output(scaled, (1, self.channels, side, side), name)
            decoded = self.pixels_of(vae, self.unscaled(vae, scaled))
            check_output(decoded, tuple(pixels.shape), name)


class DeepAutoencoder(Autoencoder):
    """diffusers' AutoencoderDC (Chen et al. 2024): few latents, and the same in each pass."""

    kind = "AutoencoderDC"
    blocks = "encoder_block_out_channels"
    upcasts = False

    def moments(self, vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The latents themselves, without variance."""
        latent = vae.encode(pixels).latent.contiguous()
        return latent, torch.zeros_like(latent)
