"""What families with a U-Net share: loading, latents, prediction and drawing."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from inspect import signature
from typing import Any, get_args

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from pseudoword.config import Emphasis
from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.formats.keys import is_layered
from pseudoword.models.autoencoder import Autoencoder, pixels_per_latent
from pseudoword.models.cross_attention import cross_attention_layers, join_layers, text_per_layer
from pseudoword.models.family import Condition, GenerationSettings, MicroConditioning, Moments
from pseudoword.models.injection import Words
from pseudoword.models.loading import folder
from pseudoword.models.loading.header import Header
from pseudoword.models.loading.parts import TOO_LARGE, ModelParts
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.loading.weights import sampled_digest
from pseudoword.models.lora import Lora, apply_loras
from pseudoword.models.noise_schedule import NoiseSchedule, prediction_type
from pseudoword.models.part_checks import check_output, working_together
from pseudoword.models.prompt_reader import PromptReader
from pseudoword.models.prompts import Prompts
from pseudoword.models.samplers import check_steps
from pseudoword.models.text_encoder import TextEncoder
from pseudoword.text import reason

USUAL_GUIDANCE = 7.5
LARGEST_SAMPLE = 4096
"""Latent positions along a side of a picture; 64 to 128 are usual."""
GUIDANCE_KEY, RESCALE_KEY = "_guidance_scale", "_guidance_rescale"
EMPHASIS_KEY = "_emphasis"
"""Entries of `model_index.json` with a model's own defaults; diffusers ignores such names."""


class UNetFamily:
    """A latent diffusion model with a U-Net. `Family` documents its members.

    A family is a subclass that names its pipeline in diffusers, loads its text encoders, and says
    how they condition the U-Net.
    """

    name: str
    pipeline: str
    """diffusers' pipeline, which draws the pictures"""
    inpainting: str
    """diffusers' pipeline for inpainting models"""
    reads_weights = True

    def __init__(self, source: BaseSource, placement: Placement) -> None:
        from diffusers import DDPMScheduler, UNet2DConditionModel

        self.source, self.placement = source, placement
        self.parts = ModelParts(source, placement, self.pipeline)
        self.encoders = self.load_encoders()
        self.unet = self.parts.load_frozen(UNet2DConditionModel, "unet")
        takes, gives = self.unet.config.in_channels, self.unet.config.out_channels
        if takes not in {gives, 2 * gives + 1}:  # inpainting: a mask and a masked picture too
            raise BaseModelError(
                f"{source.name}: its U-Net takes {takes} channels and gives {gives}, so it edits "
                "or enlarges pictures. Give a model that draws from text, or one for inpainting."
            )
        if placement.checkpointing:
            self.unet.enable_gradient_checkpointing()
        scheduler = self.parts.scheduler(DDPMScheduler)
        alphas = scheduler.alphas_cumprod
        if not ((alphas >= 0) & (alphas <= 1)).all():
            raise BaseModelError(
                f"{source.name}: its scheduler's config gives no valid noise schedule "
                "(beta_start, beta_end or beta_schedule)"
            )
        self.noise_schedule = NoiseSchedule(
            alphas, prediction_type(scheduler.config.prediction_type)
        )
        self.autoencoder = Autoencoder(self.parts, gives)
        self._blanks: dict[tuple[int, ...], Tensor] = {}
        if placement.device.type != "meta":
            self._check_parts()

    @staticmethod
    def layout_of(header: Header) -> str | None:
        """Name of the `single_file_configs` for this header; None if it is of another family."""
        raise NotImplementedError

    @staticmethod
    def readers(parts: ModelParts) -> list[PromptReader]:
        """The tokenizers and prompt lengths of the text encoders, without their weights."""
        return [parts.reader()]

    def load_encoders(self) -> dict[str, TextEncoder]:
        """Load the text encoders: ComfyUI's key -> text encoder."""
        raise NotImplementedError

    def read_text(self, prompts: Prompts, words: Words, layers: Sequence[str]) -> Condition:
        """Encode `prompts` `[B, …]`; with `layers`, once per layer: `[layers·B, …]`."""
        raise NotImplementedError

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        if not any(map(is_layered, words.values())):
            return self.read_text(prompts, words, ())
        count = len(self.layers)
        texts = self.read_text(prompts, words, self.layers)
        # The U-Net reads one pooled vector per prompt: the mean over the layers.
        pooled = None if texts.pooled is None else texts.pooled.unflatten(0, (count, -1)).mean(0)
        return Condition(join_layers(texts.hidden, count), pooled, layered=True)

    def encode_negative(self, prompts: Prompts, words: Words) -> Condition:
        """Encode the negative prompts; a family may treat empty prompts in its own way."""
        return self.encode_text(prompts, words)

    def added_conditions(
        self, _condition: Condition, _micro_conditioning: MicroConditioning
    ) -> dict[str, Tensor] | None:
        """The U-Net's `added_cond_kwargs`: its conditions other than text and timestep."""
        return None

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self._layers)

    @cached_property
    def _layers(self) -> dict[str, torch.nn.Module]:
        return cross_attention_layers(self.unet)

    def _text_per_layer(self, condition: Condition) -> AbstractContextManager[None]:
        """While open, each layer of the U-Net reads its own text if `condition` is layered."""
        return text_per_layer(self.unet, self._layers) if condition.layered else nullcontext()

    @property
    def device(self) -> torch.device:
        return self.placement.device

    @property
    def dtype(self) -> torch.dtype:
        return self.placement.dtype

    @property
    def vae(self) -> Any:
        """diffusers' AutoencoderKL."""
        return self.autoencoder.model

    @property
    def resolution(self) -> int:
        return self._resolution_and_step[0]

    @property
    def resolution_step(self) -> int:
        return self._resolution_and_step[1]

    @cached_property
    def guidance(self) -> float:
        return self._number_in_index(GUIDANCE_KEY, USUAL_GUIDANCE)

    @cached_property
    def emphasis(self) -> Emphasis:
        own: Emphasis = self.parts.setting(EMPHASIS_KEY, "original")
        if own not in get_args(Emphasis):
            raise BaseModelError(
                f"{self.source.name}: {EMPHASIS_KEY} in model_index.json is {own!r:.60}, but "
                f"should be one of {', '.join(get_args(Emphasis))}"
            )
        return own

    @cached_property
    def guidance_rescale(self) -> float:
        return self._number_in_index(RESCALE_KEY, 0.0)

    def _number_in_index(self, name: str, usual: float) -> float:
        where = f"{self.source.name}: {name} in model_index.json"
        return folder.finite_number(self.parts.setting(name, usual), where)

    @cached_property
    def _resolution_and_step(self) -> tuple[int, int]:
        return self.resolution_of(self.parts)

    @staticmethod
    def resolution_of(parts: ModelParts) -> tuple[int, int]:
        """The model's resolution, and what sides must be multiples of, without loading weights.

        The latter is the VAE's scale times that of the U-Net's own downsampling.
        """
        from diffusers import UNet2DConditionModel

        unet, where = parts.config(UNet2DConditionModel, "unet"), f"{parts.source.name}: its unet"
        scale = pixels_per_latent(parts)
        size = unet["sample_size"]
        if isinstance(size, list | tuple) and len(size) == 2 and size[0] == size[1]:
            size = size[0]
        side = folder.whole_number({"sample_size": size}, "sample_size", where, LARGEST_SAMPLE)
        return side * scale, scale * 2 ** folder.halving_count(unet, where)

    def modules(self) -> dict[str, torch.nn.Module]:
        encoders = {key: encoder.model for key, encoder in self.encoders.items()}
        return {**encoders, "unet": self.unet, "vae": self.vae}

    def fingerprint(self) -> str:
        return sampled_digest(*self.modules().values())

    def vae_digest(self) -> str:
        return self.autoencoder.digest()

    def encode_pictures(self, pixels: Tensor) -> Moments:
        return self.autoencoder.encode(pixels)

    def decode(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents)

    def release_vae(self) -> None:
        self.autoencoder.release()

    def predict(
        self, noisy: Tensor, t: Tensor, condition: Condition, micro_conditioning: MicroConditioning
    ) -> Tensor:
        if self._takes_mask:
            mask, blank = self._full_mask(noisy)
            noisy = torch.cat([noisy, mask, blank], dim=1)
        return self._run_unet(noisy, t, condition, micro_conditioning)

    def _run_unet(
        self,
        channels: Tensor,
        t: Tensor,
        condition: Condition,
        micro_conditioning: MicroConditioning,
    ) -> Tensor:
        """The U-Net's output for all of its input channels."""
        with self._text_per_layer(condition):
            predicted: Tensor = self.unet(
                channels.to(self.dtype),
                t,
                condition.hidden.to(self.dtype),
                added_cond_kwargs=self.added_conditions(condition, micro_conditioning),
                return_dict=False,
            )[0]
        return predicted

    @torch.no_grad()
    def _check_parts(self) -> None:
        """Check on the smallest picture that the parts work together and give finite numbers."""
        models = [encoder.model for encoder in self.encoders.values()]
        side = self.resolution_step // self.autoencoder.scale
        with (
            working_together(self.source.name, "text encoder and U-Net"),
            self.parts.on_device(self.unet, *models),
        ):
            for encoder in self.encoders.values():
                encoder.check()
            channels = torch.ones(1, self.unet.config.in_channels, side, side, device=self.device)
            micro_conditioning = torch.ones(1, 6, dtype=torch.int64, device=self.device)
            t = torch.zeros(1, dtype=torch.int64, device=self.device)
            output = self._run_unet(channels, t, self.encode_text([""], {}), micro_conditioning)
            shape = (1, self.unet.config.out_channels, side, side)
            check_output(output, shape, self.source.name, self.dtype)
        if not self._takes_mask:  # an inpainting pipeline needs the VAE
            with working_together(self.source.name, "scheduler and pipeline"):
                self._pipeline()

    @property
    def _takes_mask(self) -> bool:
        return bool(self.unet.config.in_channels > self.unet.config.out_channels)

    def _full_mask(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """A mask of ones and the latents of a grey picture: an inpainting U-Net then paints it all.

        AUTOMATIC1111 also draws from text with inpainting models in this way.
        """
        size = latents.shape[-2:]
        if size not in self._blanks:
            loaded = self.autoencoder.is_loaded
            height, width = (side * self.autoencoder.scale for side in size)
            self._blanks[size] = self.encode_pictures(torch.zeros(1, 3, height, width)).mean
            if not loaded:
                self.release_vae()
        blank = self._blanks[size].to(latents).expand(len(latents), -1, -1, -1)
        return torch.ones_like(blank[:, :1]), blank

    @torch.no_grad()
    def draw(
        self,
        prompts: Prompts,
        negatives: Prompts,
        words: Words,
        generators: Sequence[Generator],
        settings: GenerationSettings,
    ) -> list[Image]:
        with self.parts.on_device(*(encoder.model for encoder in self.encoders.values())):
            positive = self.encode_text(prompts, words)
            negative = self.encode_negative(negatives, words)
        latents = self._draw_latents(positive, negative, generators, settings)
        pixels = self.decode(latents)
        if not torch.isfinite(pixels).all():
            raise BaseModelError(
                f"{self.source.name} draws numbers that are not finite with these settings, so "
                "there is no picture"
                f"{TOO_LARGE if self.dtype is torch.float16 else ''}."
            )
        from diffusers.image_processor import VaeImageProcessor

        pictures: list[Image] = VaeImageProcessor().postprocess(pixels, output_type="pil")
        return pictures

    def _draw_latents(
        self,
        positive: Condition,
        negative: Condition,
        generators: Sequence[Generator],
        settings: GenerationSettings,
    ) -> Tensor:
        """Run diffusers' pipeline on encoded prompts; the latents `[B, C, h, w]`."""
        options = self._inpainting_inputs(settings, len(generators))
        if settings.guidance_rescale:
            options["guidance_rescale"] = settings.guidance_rescale
        pipeline = self._pipeline(settings.scheduler)
        models = [self.unet, *([self.vae] if self._takes_mask else [])]
        with self.parts.on_device(*models), self._text_per_layer(positive):
            latents: Tensor = pipeline(
                **_prompt_embeds("", positive),
                **_prompt_embeds("negative_", negative),
                **options,
                generator=list(generators),
                guidance_scale=settings.guidance,
                num_inference_steps=settings.sampler_steps,
                height=settings.height,
                width=settings.width,
                output_type="latent",
            ).images
        return latents

    def check(self, settings: GenerationSettings) -> None:
        kind = self._pipeline_kind
        # Guidance rescale: Lin et al. 2023, arXiv 2305.08891, section 3.4.
        if (
            settings.guidance_rescale
            and "guidance_rescale" not in signature(kind.__call__).parameters
        ):
            raise SettingsError(
                f"--guidance-rescale does not work with {self.source.name}: diffusers' "
                f"{kind.__name__} has no such setting. Give 0."
            )
        check_steps(self.scheduler(settings.scheduler), settings.sampler_steps)

    def _inpainting_inputs(self, settings: GenerationSettings, count: int) -> dict[str, Any]:
        """Further inputs of the inpainting pipeline: a grey picture with all of it masked."""
        if not self._takes_mask:
            return {}
        height, width = (
            side // self.autoencoder.scale for side in (settings.height, settings.width)
        )
        channels = self.unet.config.out_channels
        _, blank = self._full_mask(torch.empty(count, channels, height, width, device=self.device))
        return {
            "image": torch.zeros(1, 3, settings.height, settings.width),
            "mask_image": torch.ones(1, 1, settings.height, settings.width),
            "masked_image_latents": blank.to(self.dtype),
            "strength": 1.0,
        }

    @property
    def _pipeline_kind(self) -> Any:
        import diffusers

        return getattr(diffusers, self.inpainting if self._takes_mask else self.pipeline)

    def _pipeline(self, scheduler: str | None = None, **more: Any) -> Any:
        """A new pipeline of diffusers with our parts; new each time, as its scheduler has state."""
        kind = self._pipeline_kind
        parameters = signature(kind).parameters
        parts: dict[str, Any] = {n: None for n, p in parameters.items() if p.default is p.empty}
        parts |= {"unet": self.unet, "scheduler": self.scheduler(scheduler), **more}
        if self._takes_mask:
            parts["vae"] = self.vae
        if "requires_safety_checker" in parameters:
            parts["requires_safety_checker"] = False
        pipeline = kind(**parts)
        pipeline.vae_scale_factor = self.autoencoder.scale
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @contextmanager
    def with_loras(self, loras: Sequence[Lora]) -> Iterator[None]:
        parts: dict[str, Any] = {}
        for suffix, encoder in zip(("", "_2"), self.encoders.values(), strict=False):
            parts |= {
                f"text_encoder{suffix}": encoder.model,
                f"tokenizer{suffix}": encoder.reader.tokenizer,
            }
        with apply_loras(self._pipeline(**parts), loras):
            yield

    def scheduler(self, name: str | None = None) -> Any:
        import diffusers

        # from_pretrained would return the class that it is called on, not the model's own.
        own = self.parts.config(diffusers.DDPMScheduler, "scheduler").get("_class_name")
        kind = getattr(diffusers, own, None) if isinstance(own, str) else None
        if not isinstance(kind, type) or not issubclass(kind, diffusers.SchedulerMixin):
            raise BaseModelError(
                f"{self.source.name}: its scheduler is {own!r:.60}, which this diffusers does not "
                "have. Write another _class_name into its config, such as DDIMScheduler"
            )
        scheduler = self.parts.scheduler(kind)
        if name is None:
            return scheduler
        known = {kind.__name__: kind for kind in scheduler.compatibles}
        for kind in (name, f"{name}Scheduler", f"{name}DiscreteScheduler"):
            if kind in known:
                try:
                    return known[kind].from_config(scheduler.config)
                except ImportError as error:
                    raise SettingsError(f"--scheduler {name}: {reason(error)}") from error
        short = sorted(kind.removesuffix("Scheduler") for kind in known)
        raise SettingsError(f"--scheduler {name}: {self.source.name} works with {', '.join(short)}")


def _prompt_embeds(prefix: str, condition: Condition) -> dict[str, Tensor]:
    """`condition` as arguments of diffusers' pipelines."""
    arguments = {f"{prefix}prompt_embeds": condition.hidden}
    if condition.pooled is not None:
        arguments[f"{prefix}pooled_prompt_embeds"] = condition.pooled
    return arguments
