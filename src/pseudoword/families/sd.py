"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a U-Net, ε or v.

Conditioning and drawing follow diffusers' StableDiffusionPipeline, which draws the pictures.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from pseudoword.concept import ENCODER_OF_WIDTH
from pseudoword.errors import BaseModelError
from pseudoword.families.base import (
    Condition,
    Framing,
    Moments,
    Source,
    TextEncoder,
    sampled_digest,
    without_bars,
)
from pseudoword.inject import Words
from pseudoword.process import Process, prediction_type


def load(source: Source, device: str, dtype: str) -> "StableDiffusion":
    """Load a model in diffusers' layout, frozen; the VAE follows when it is needed.

    Raises:
        BaseModelError: a part is missing or damaged.
    """
    return StableDiffusion(source, torch.device(device), getattr(torch, dtype))


class StableDiffusion:
    """An SD 1.x/2.x-style model. See `Family` for what each member does."""

    name = "sd"

    def __init__(self, source: Source, device: torch.device, dtype: torch.dtype) -> None:
        from diffusers import DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        self.source, self.device, self.dtype = source, device, dtype
        tokenizer = self._part(CLIPTokenizer, "tokenizer")
        text_encoder = self._frozen(CLIPTextModel, "text_encoder")
        self.unet = self._frozen(UNet2DConditionModel, "unet")
        scheduler = self._part(DDPMScheduler, "scheduler")
        self.process = Process(
            scheduler.alphas_cumprod, prediction_type(scheduler.config.prediction_type)
        )
        encoder = TextEncoder(tokenizer, text_encoder)
        self.encoders = {ENCODER_OF_WIDTH.get(encoder.width, "clip_l"): encoder}
        self._encoder = encoder

    @cached_property
    def vae(self) -> Any:
        """AutoencoderKL, loaded when first used."""
        from diffusers import AutoencoderKL

        return self._frozen(AutoencoderKL, "vae")

    @cached_property
    def _vae_scale(self) -> int:
        """Pixels per latent position along each side; known without loading the VAE."""
        from diffusers import AutoencoderKL

        config = AutoencoderKL.load_config(self.source.path, subfolder="vae")
        return int(2 ** (len(config["block_out_channels"]) - 1))

    @property
    def resolution(self) -> int:
        return int(self.unet.config.sample_size) * self._vae_scale

    @property
    def resolution_step(self) -> int:
        """The VAE's scale times the U-Net's own halvings."""
        return self._vae_scale * int(2 ** (len(self.unet.config.block_out_channels) - 1))

    def fingerprint(self) -> str:
        return sampled_digest(self._encoder.model, self.unet, self.vae)

    def vae_digest(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for name, weight in sorted(self.vae.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        digest.update(f"{self.dtype} {self.vae.config.scaling_factor}".encode())
        return digest.hexdigest()

    @torch.no_grad()
    def encode_pictures(self, pixels: Tensor) -> Moments:
        found = self.vae.encode(pixels.to(self.device, self.dtype)).latent_dist
        scale = self.vae.config.scaling_factor
        return Moments(found.mean.float() * scale, found.std.float() * scale)

    def release_vae(self) -> None:
        self.__dict__.pop("vae", None)

    def encode_text(self, prompts: Sequence[str], words: Words) -> Condition:
        (key,) = self.encoders
        rows = {placeholder: vectors[key] for placeholder, vectors in words.items()}
        return Condition(self._encoder(prompts, rows)[0])

    def predict(self, noisy: Tensor, t: Tensor, condition: Condition, _framing: Framing) -> Tensor:
        predicted: Tensor = self.unet(
            noisy.to(self.dtype), t, condition.hidden.to(self.dtype), return_dict=False
        )[0]
        return predicted

    @torch.no_grad()
    def draw(
        self,
        prompts: Sequence[str],
        negatives: Sequence[str],
        words: Words,
        generators: Sequence[Generator],
        *,
        guidance: float,
        sampler_steps: int,
        resolution: int,
    ) -> list[Image]:
        pictures: list[Image] = self._pipeline(
            prompt_embeds=self.encode_text(prompts, words).hidden,
            negative_prompt_embeds=self.encode_text(negatives, words).hidden,
            generator=list(generators),
            guidance_scale=guidance,
            num_inference_steps=sampler_steps,
            height=resolution,
            width=resolution,
        ).images
        return pictures

    @property
    def _pipeline(self) -> Any:
        """diffusers' pipeline around our parts; its scheduler keeps state, so it is made anew."""
        import diffusers

        # The model's own kind of scheduler; from_pretrained would make it the class it is asked of.
        kind = diffusers.DDPMScheduler.load_config(self.source.path, subfolder="scheduler")
        scheduler = self._part(getattr(diffusers, kind["_class_name"]), "scheduler")
        pipeline = diffusers.StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=self._encoder.model,
            tokenizer=self._encoder.tokenizer,
            unet=self.unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _frozen(self, kind: Any, part: str) -> Any:
        model = self._part(kind, part, torch_dtype=self.dtype)
        return model.to(self.device).requires_grad_(False).eval()

    def _part(self, kind: Any, part: str, **options: Any) -> Any:
        try:
            with without_bars():
                return kind.from_pretrained(self.source.path, subfolder=part, **options)
        except Exception as error:  # each library has errors of its own for a damaged folder
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise BaseModelError(
                f"{self.source.name}: its {part} cannot be loaded: {reason}"
            ) from error
