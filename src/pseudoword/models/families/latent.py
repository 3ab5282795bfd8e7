"""What families of latent diffusion models share, whatever their denoiser: loading and drawing."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from inspect import signature
from typing import Any

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.models import samplers
from pseudoword.models.autoencoder import Autoencoder
from pseudoword.models.drawing_defaults import (
    FEW_STEP_SCHEDULERS,
    FEW_STEPS,
    DrawingDefaults,
    UsualDrawing,
)
from pseudoword.models.family import Condition, GenerationSettings, MicroConditioning, Moments
from pseudoword.models.injection import Words
from pseudoword.models.loading.header import Header
from pseudoword.models.loading.parts import TOO_LARGE, ModelParts
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.loading.weights import sampled_digest
from pseudoword.models.lora import Lora, apply_loras
from pseudoword.models.noise_schedule import NoiseSchedule
from pseudoword.models.part_checks import check_output, working_together
from pseudoword.models.prompt_reader import PromptReader
from pseudoword.models.prompts import Prompts
from pseudoword.models.text_encoder import TextEncoder

SUFFIXES = ("", "_2", "_3")
"""Ends of the names of text encoders and tokenizers in diffusers' layout."""


class _StepBar:
    """Stands where a pipeline has its progress bar, and calls `on_step` after each step."""

    def __init__(self, on_step: Callable[[], None]) -> None:
        self._on_step = on_step

    def __call__(self, **_total: int) -> "_StepBar":
        return self

    def __enter__(self) -> "_StepBar":
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def update(self) -> None:
        """A step is done."""
        self._on_step()


class LatentFamily(ABC):
    """A denoiser of latents, the VAE that makes them, and text encoders. See `Family`.

    A family is a subclass that names its pipelines in diffusers, loads its text encoders and its
    denoiser, and says how text conditions it.
    """

    name: str
    pipelines: Sequence[str]
    """diffusers' pipelines for it; the first one draws from text"""
    denoiser_part: str
    """the denoiser's name in diffusers' layout"""
    denoiser_title: str
    """what messages call it"""
    reads_weights: bool
    reads_negative = True
    ragged = False
    usual_guidance = 7.5
    autoencoder_kind: type[Autoencoder] = Autoencoder
    mask_argument = "prompt_attention_mask"
    """what the pipeline calls the mask of a text"""

    def __init__(self, source: BaseSource, placement: Placement) -> None:
        _check_diffusers(self.pipelines[0], source.name)
        self.source, self.placement = source, placement
        self.parts = ModelParts(source, placement, self.pipelines[0])
        self.encoders = self.load_encoders()
        self.denoiser = self.load_denoiser()
        if placement.checkpointing and not placement.offload_blocks:
            self.denoiser.enable_gradient_checkpointing(*self.checkpointing())
        self.noise_schedule = self.make_noise_schedule()
        self.autoencoder = self.autoencoder_kind(self.parts, self.latent_channels)
        if placement.device.type != "meta":
            self._check_parts()

    @staticmethod
    def layout_of(_header: Header) -> str | None:
        """Name of the `single_file_configs` for this header; None if it is of another family."""
        return None

    @staticmethod
    @abstractmethod
    def resolution_of(parts: ModelParts) -> tuple[int, int]:
        """The model's resolution, and what sides must be multiples of, without loading weights."""

    @staticmethod
    @abstractmethod
    def readers(parts: ModelParts) -> list[PromptReader]:
        """The tokenizers and prompt lengths of the text encoders, without their weights."""

    @abstractmethod
    def load_encoders(self) -> dict[str, TextEncoder]:
        """Load the text encoders: ComfyUI's key -> text encoder."""

    @abstractmethod
    def load_denoiser(self) -> Any:
        """Load the denoiser.

        Raises:
            BaseModelError: it is not one that draws from text.
        """

    def checkpointing(self) -> Sequence[Callable[..., Any]]:
        """A function in the place of diffusers' own that computes a block again, if any."""
        return ()

    @abstractmethod
    def make_noise_schedule(self) -> NoiseSchedule:
        """The noise schedule that the scheduler's config describes."""

    @property
    @abstractmethod
    def latent_channels(self) -> int:
        """Channels of the latents."""

    @property
    def layers(self) -> tuple[str, ...]:
        return ()

    @abstractmethod
    def encode_text(self, prompts: Prompts, words: Words) -> Condition: ...

    def encode_negative(self, prompts: Prompts, words: Words) -> Condition:
        """Encode the negative prompts; a family may treat empty prompts in its own way."""
        return self.encode_text(prompts, words)

    @abstractmethod
    def predict(
        self, noisy: Tensor, t: Tensor, condition: Condition, micro_conditioning: MicroConditioning
    ) -> Tensor: ...

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
    def defaults(self) -> DrawingDefaults:
        usual = self.distilled() or UsualDrawing(self.usual_guidance)
        return DrawingDefaults.of(self.parts, usual, self.noise_schedule.timesteps)

    def distilled(self) -> UsualDrawing | None:
        """How the model is drawn, if its files tell that it is distilled to few steps."""
        scheduler = type(self.scheduler()).__name__
        return FEW_STEPS if scheduler in FEW_STEP_SCHEDULERS else None

    @cached_property
    def _resolution_and_step(self) -> tuple[int, int]:
        return self.resolution_of(self.parts)

    def modules(self) -> dict[str, torch.nn.Module]:
        encoders = {key: encoder.model for key, encoder in self.encoders.items()}
        return {**encoders, self.denoiser_part: self.denoiser, "vae": self.vae}

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

    @torch.no_grad()
    def _check_parts(self) -> None:
        """Check on the smallest picture that the parts work together and give finite numbers."""
        models = [encoder.model for encoder in self.encoders.values()]
        side = self.resolution_step // self.autoencoder.scale
        with (
            working_together(self.source.name, f"text encoder and {self.denoiser_title}"),
            self.parts.on_device(self.denoiser, *models),
        ):
            for encoder in self.encoders.values():
                encoder.check()
            output = self.try_denoiser(side, self.encode_text([""], {}))
            shape = (1, self.latent_channels, side, side)
            check_output(output, shape, self.source.name, self.dtype)
        self.check_pipeline()

    def try_denoiser(self, side: int, condition: Condition) -> Tensor:
        """The prediction for latents `[1, C, side, side]`."""
        latents = torch.ones(1, self.latent_channels, side, side, device=self.device)
        micro_conditioning = torch.ones(1, 6, dtype=torch.int64, device=self.device)
        t = torch.zeros(1, dtype=torch.int64, device=self.device)
        return self.predict(latents, t, condition, micro_conditioning)

    def check_pipeline(self) -> None:
        """Check that diffusers' pipeline takes the parts."""
        with working_together(self.source.name, "scheduler and pipeline"):
            self._pipeline()

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
            negative = self.encode_negative(negatives, words) if self.reads_negative else None
        latents = self._draw_latents(positive, negative, generators, settings, on_step)
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
        pipeline.progress_bar = _StepBar(on_step)
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

    @property
    def largest_side(self) -> int | None:
        """The largest side in pixels that the denoiser has positions for; None if any."""
        return None

    def check_size(self, width: int, height: int) -> None:
        most = self.largest_side
        if most is not None and max(width, height) > most:
            raise SettingsError(
                f"{width} x {height} pixels are too large for {self.source.name}: its sides have "
                f"at most {most}. Give a smaller size; its own resolution is {self.resolution}."
            )

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

    def check_steps(self, settings: GenerationSettings) -> None:
        """Check whether the scheduler can take so many steps."""
        samplers.check_steps(self.scheduler(settings.scheduler), settings.sampler_steps)

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
        import diffusers

        return getattr(diffusers, self.pipelines[0])

    def _pipeline(self, scheduler: str | None = None, **more: Any) -> Any:
        """A new pipeline of diffusers with our parts; new each time, as its scheduler has state."""
        kind = self._pipeline_kind
        parameters = signature(kind).parameters
        parts: dict[str, Any] = {n: None for n, p in parameters.items() if p.default is p.empty}
        parts |= {self.denoiser_part: self.denoiser, "scheduler": self.scheduler(scheduler)}
        parts |= more
        if "requires_safety_checker" in parameters:
            parts["requires_safety_checker"] = False
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
        for suffix, encoder in zip(SUFFIXES, self.encoders.values(), strict=False):
            parts |= {
                f"text_encoder{suffix}": encoder.model,
                f"tokenizer{suffix}": encoder.reader.tokenizer,
            }
        with apply_loras(self._pipeline(**parts), loras, self.text_width):
            yield

    def scheduler(self, name: str | None = None) -> Any:
        own = samplers.own_scheduler(self.parts)
        return own if name is None else samplers.compatible_scheduler(own, name, self.source.name)


def _check_diffusers(pipeline: str, model: str) -> None:
    """Check that the installed diffusers is not older than the pipeline of a model.

    Raises:
        BaseModelError: it is.
    """
    import diffusers

    if not hasattr(diffusers, pipeline):
        raise BaseModelError(
            f"{model} is drawn by a {pipeline}, which diffusers {diffusers.__version__} does not "
            "have. Install a newer one: pip install --upgrade diffusers"
        )
