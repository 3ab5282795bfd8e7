"""How families draw: by diffusers' own pipeline, on prompts that were encoded with the words."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from inspect import signature
from types import SimpleNamespace
from typing import Any

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.models import samplers
from pseudoword.models.autoencoder import Autoencoder
from pseudoword.models.diffusers_classes import diffusers_class, without_parts
from pseudoword.models.drawing_defaults import (
    FEW_STEP_SCHEDULERS,
    FEW_STEPS,
    DrawingDefaults,
    UsualDrawing,
)
from pseudoword.models.family import Condition, Family, GenerationSettings
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.loading.weights import advice_on_range
from pseudoword.models.lora import Lora, apply_loras
from pseudoword.models.part_checks import working_together
from pseudoword.models.reading.injection import Words
from pseudoword.models.reading.prompts import Prompts


class DiffusersDrawing(Family):
    """Drawing with diffusers' pipeline of a family.

    A family names its pipelines, and overrides what its pipeline wants in another way.
    """

    pipelines: Sequence[str]
    """diffusers' pipelines for it; the first one draws from text"""
    usual_guidance = 7.5
    mask_argument = "prompt_attention_mask"
    """what the pipeline calls the mask of a text"""

    parts: ModelParts
    text_encoders: Sequence[EncoderPart]
    """in the order of their pipeline"""
    denoiser_part: str
    """the denoiser's name in diffusers' layout"""
    autoencoder: Autoencoder

    @cached_property
    def defaults(self) -> DrawingDefaults:
        usual = self.distilled() or UsualDrawing(self.usual_guidance)
        return DrawingDefaults.of(self.parts, usual, self.noise_schedule.timesteps)

    @property
    def is_distilled(self) -> bool:
        """Whether `model_index.json` says so: some pipelines draw such models in another way."""
        return bool(self.parts.setting("is_distilled", False))

    def distilled(self) -> UsualDrawing | None:
        """How the model is drawn, if its files tell that it is distilled to few steps."""
        scheduler = type(self.scheduler()).__name__
        return FEW_STEPS if scheduler in FEW_STEP_SCHEDULERS else None

    @torch.no_grad()
    def draw(
        self,
        prompts: Prompts,
        negatives: Prompts,
        words: Words,
        generators: Sequence[Generator],
        settings: GenerationSettings,
        on_step: Callable[[], None],
    ) -> list[Image]:
        offloads = self.placement.offload
        models = [encoder.model for encoder in self.encoders.values()] if offloads else []
        with self.parts.on_device(*models):
            positive = self.encode_text(prompts, words)
            guided = self.reads_negative and settings.guidance > 1
            negative = self.encode_negative(negatives, words) if guided else None
        latents = self._draw_latents(positive, negative, generators, settings, on_step)
        pixels = self.decode(latents)
        if not torch.isfinite(pixels).all():
            raise BaseModelError(
                f"{self.source.name} draws numbers that are not finite with these settings, so "
                f"there is no picture{advice_on_range(self.dtype)}."
            )
        from diffusers.image_processor import VaeImageProcessor

        pictures: list[Image] = VaeImageProcessor().postprocess(pixels, output_type="pil")
        return pictures

    def _draw_latents(
        self,
        positive: Condition,
        negative: Condition | None,
        generators: Sequence[Generator],
        settings: GenerationSettings,
        on_step: Callable[[], None],
    ) -> Tensor:
        """Run diffusers' pipeline on encoded prompts; the latents `[B, C, h, w]`."""
        options: dict[str, Any] = {"guidance_scale": settings.guidance}
        options |= self.drawing_options(settings, len(generators))
        if settings.guidance_rescale:
            options["guidance_rescale"] = settings.guidance_rescale
        pipeline = self._pipeline(settings.scheduler)
        # its progress bar is told of each step
        pipeline.progress_bar = lambda **_total: nullcontext(SimpleNamespace(update=on_step))
        with self.parts.on_device(*self.drawing_models), self.reading(positive):
            latents: Tensor = pipeline(
                **self.prompt_embeds("", positive),
                **self.prompt_embeds("negative_", negative),
                **options,
                generator=list(generators),
                num_inference_steps=settings.sampler_steps,
                height=settings.height,
                width=settings.width,
                output_type="latent",
            ).images
        return self.from_pipeline(latents, settings)

    def prompt_embeds(self, prefix: str, condition: Condition | None) -> dict[str, Any]:
        """`condition` as arguments of the pipeline."""
        if condition is None:
            return {}
        arguments = {f"{prefix}prompt_embeds": condition.hidden}
        if condition.pooled is not None:
            arguments[f"{prefix}pooled_prompt_embeds"] = condition.pooled
        if condition.mask is not None:
            arguments[f"{prefix}{self.mask_argument}"] = condition.mask
        return arguments

    def from_pipeline(self, latents: Tensor, _settings: GenerationSettings) -> Tensor:
        """What the pipeline gives, as latents `[B, C, h, w]`."""
        return latents

    def check(self, settings: GenerationSettings) -> None:
        self.check_size(settings.width, settings.height)
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
        self.check_steps(settings)
        if self.ignores_guidance and settings.guidance != self.defaults.guidance:
            raise SettingsError(
                f"--guidance {settings.guidance:g} has no effect with {self.source.name}, which "
                f"{self.ignores_guidance}. Leave it out."
            )

    @property
    def ignores_guidance(self) -> str:
        """Why the guidance scale has no effect, behind "which"; empty if it has one."""
        return ""

    def check_steps(self, settings: GenerationSettings) -> None:
        """Check whether the scheduler can take so many steps."""
        samplers.check_steps(self.scheduler(settings.scheduler), settings.sampler_steps)

    def check_pipeline(self) -> None:
        """Check that diffusers' pipeline takes the parts."""
        with working_together(self.source.name, "scheduler and pipeline"):
            self._pipeline()

    def drawing_options(self, _settings: GenerationSettings, _count: int) -> dict[str, Any]:
        """Further inputs of the pipeline that draws `count` pictures."""
        return {}

    @property
    def drawing_models(self) -> list[Any]:
        """What the pipeline runs."""
        return [self.denoiser]

    def reading(self, _condition: Condition) -> AbstractContextManager[None]:
        """While open, the denoiser reads the condition in the way that it is meant for."""
        return nullcontext()

    @property
    def _pipeline_kind(self) -> Any:
        return diffusers_class(self.pipelines[0])

    def _pipeline(self, scheduler: str | None = None, **more: Any) -> Any:
        """A new pipeline of diffusers with our parts; new each time, as its scheduler has state."""
        kind = self._pipeline_kind
        parameters = signature(kind).parameters
        parts = without_parts(kind)
        parts |= {self.denoiser_part: self.denoiser, "scheduler": self.scheduler(scheduler)}
        parts |= more
        if "requires_safety_checker" in parameters:
            parts["requires_safety_checker"] = False
        if "is_distilled" in parameters:
            parts["is_distilled"] = self.is_distilled
        pipeline = kind(**parts)
        pipeline.vae_scale_factor = self.autoencoder.scale
        return pipeline

    @property
    def text_width(self) -> int | None:
        """Width of the text that the denoiser reads, if LoRA files show theirs."""
        return None

    @contextmanager
    def with_loras(self, loras: Sequence[Lora]) -> Iterator[None]:
        if not loras:
            yield
            return
        parts: dict[str, Any] = {}
        # a model may lack the last ones
        for part, encoder in zip(self.text_encoders, self.encoders.values(), strict=False):
            parts |= {part.folder: encoder.model, part.tokenizer: encoder.reader.tokenizer}
        with apply_loras(self._pipeline(**parts), loras, self.text_width):
            yield

    def scheduler(self, name: str | None = None) -> Any:
        own = samplers.own_scheduler(self.parts)
        return own if name is None else samplers.compatible_scheduler(own, name, self.source.name)
