"""What families with a U-Net share: loading, latents, the prediction and drawing."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from inspect import signature
from typing import Any

import torch
from PIL.Image import Image
from torch import Generator, Tensor

from pseudoword.errors import BaseModelError, PseudowordError, SettingsError
from pseudoword.formats.keys import is_layered
from pseudoword.models.cross_attention import each_its_own, layers_of, side_by_side
from pseudoword.models.family import Condition, GenerationSettings, MicroConditioning, Moments
from pseudoword.models.injection import Reader, Words
from pseudoword.models.loading import folder
from pseudoword.models.loading.header import Header
from pseudoword.models.loading.parts import TOO_LARGE, ModelParts
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.loading.weights import sampled_digest
from pseudoword.models.lora import Lora, applied
from pseudoword.models.noise_schedule import NoiseSchedule, prediction_type
from pseudoword.models.samplers import rehearse
from pseudoword.models.text_encoder import TextEncoder
from pseudoword.text import reason

USUAL_GUIDANCE = 7.5
LARGEST_SAMPLE = 4096
"""Latents along each side of a picture; 64 to 128 are usual."""
MOST_BLOCKS = 8
OWN_GUIDANCE, OWN_RESCALE = "_guidance_scale", "_guidance_rescale"
"""Where a model's `model_index.json` may ask for its own; diffusers passes over such names."""


class UNetFamily:
    """A latent diffusion model with a U-Net. See `Family` for what each member does.

    A family is a subclass that says which pipeline of diffusers it stands for, what its text
    encoders are, and how they condition the U-Net.
    """

    name: str
    pipeline: str
    """diffusers' pipeline, which draws the pictures"""
    inpainting: str
    """diffusers' pipeline for those whose U-Net also takes a mask and a masked picture"""

    def __init__(self, source: BaseSource, placement: Placement) -> None:
        from diffusers import DDPMScheduler, UNet2DConditionModel

        self.source, self.placement = source, placement
        self.parts = ModelParts(source, placement, self.pipeline)
        self.encoders = self.load_encoders()
        self.unet = self.parts.frozen(UNet2DConditionModel, "unet")
        takes, gives = self.unet.config.in_channels, self.unet.config.out_channels
        if takes not in {gives, 2 * gives + 1}:  # the latter: a mask, and a masked picture
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
                f"{source.name}: its scheduler's config asks for noise of no known strength "
                "(beta_start, beta_end or beta_schedule)"
            )
        self.noise_schedule = NoiseSchedule(
            alphas, prediction_type(scheduler.config.prediction_type)
        )
        self._blanks: dict[tuple[int, ...], Tensor] = {}
        if placement.device.type != "meta":
            self._rehearse()

    @staticmethod
    def layout_of(header: Header) -> str | None:
        """Which of `layouts` a single file with this header has; None if it is another family's."""
        raise NotImplementedError

    @staticmethod
    def readers(parts: ModelParts) -> list[Reader]:
        """How the text encoders read; known without loading weights."""
        return [parts.reader()]

    def load_encoders(self) -> dict[str, TextEncoder]:
        """The text encoders under ComfyUI's keys."""
        raise NotImplementedError

    def read_text(self, prompts: Sequence[str], words: Words, layers: Sequence[str]) -> Condition:
        """`prompts` as the U-Net reads them; once for each of `layers`, `[layers·B, …]`."""
        raise NotImplementedError

    def encode_text(self, prompts: Sequence[str], words: Words) -> Condition:
        if not any(map(is_layered, words.values())):
            return self.read_text(prompts, words, ())
        read = self.read_text(prompts, words, self.layers)
        hidden, n = side_by_side(read.hidden, len(self.layers)), len(self.layers)
        # The U-Net has one place for the text as one vector: the mean of what the layers read.
        pooled = None if read.pooled is None else read.pooled.unflatten(0, (n, -1)).mean(0)
        return Condition(hidden, pooled, layered=True)

    def encode_negative(self, prompts: Sequence[str], words: Words) -> Condition:
        """What guidance leads away from; where a family treats no text specially, here is how."""
        return self.encode_text(prompts, words)

    def added(self, _condition: Condition, _framing: MicroConditioning) -> dict[str, Tensor] | None:
        """What conditions the U-Net besides text and timestep: its `added_cond_kwargs`."""
        return None

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self._layers)

    @cached_property
    def _layers(self) -> dict[str, torch.nn.Module]:
        return layers_of(self.unet)

    def _reading(self, condition: Condition) -> AbstractContextManager[None]:
        """While open, the U-Net reads its text as `condition` has it."""
        return each_its_own(self._layers) if condition.layered else nullcontext()

    @property
    def device(self) -> torch.device:
        return self.placement.device

    @property
    def dtype(self) -> torch.dtype:
        return self.placement.dtype

    @cached_property
    def vae(self) -> Any:
        """AutoencoderKL, loaded when first used, in float32 where half precision overflows."""
        from diffusers import AutoencoderKL

        upcast = self.dtype is torch.float16 or self._vae_config.get("force_upcast", True)
        kept = torch.float32 if upcast else self.dtype
        vae = self.parts.frozen(AutoencoderKL, "vae", torch_dtype=kept)
        vae.enable_slicing()
        if vae.device.type != "meta":
            self._rehearse_vae(vae)
        return vae

    @cached_property
    def _vae_config(self) -> dict[str, Any]:
        from diffusers import AutoencoderKL

        return self.parts.config(AutoencoderKL, "vae")

    @property
    def _vae_scale(self) -> int:
        """Pixels per latent position along each side; known without loading the VAE."""
        return int(2 ** _halvings(self._vae_config, f"{self.source.name}: its vae"))

    @property
    def resolution(self) -> int:
        return self._resolution_and_step[0]

    @property
    def resolution_step(self) -> int:
        return self._resolution_and_step[1]

    @cached_property
    def guidance(self) -> float:
        return self._own(OWN_GUIDANCE, USUAL_GUIDANCE)

    @cached_property
    def guidance_rescale(self) -> float:
        return self._own(OWN_RESCALE, 0.0)

    def _own(self, name: str, usual: float) -> float:
        where = f"{self.source.name}: {name} in model_index.json"
        return folder.number(self.parts.setting(name, usual), where)

    @cached_property
    def _resolution_and_step(self) -> tuple[int, int]:
        return self.resolution_of(self.parts)

    @staticmethod
    def resolution_of(parts: ModelParts) -> tuple[int, int]:
        """The model's resolution and what sides are multiples of; known without loading weights.

        The latter is the VAE's scale times the U-Net's own halvings.
        """
        from diffusers import AutoencoderKL, UNet2DConditionModel

        unet, where = parts.config(UNet2DConditionModel, "unet"), f"{parts.source.name}: its unet"
        scale = 2 ** _halvings(parts.config(AutoencoderKL, "vae"), f"{parts.source.name}: its vae")
        size = unet["sample_size"]
        if isinstance(size, list | tuple) and len(size) == 2 and size[0] == size[1]:
            size = size[0]
        side = folder.whole({"sample_size": size}, "sample_size", where, LARGEST_SAMPLE)
        return side * scale, scale * 2 ** _halvings(unet, where)

    def modules(self) -> dict[str, torch.nn.Module]:
        encoders = {key: encoder.model for key, encoder in self.encoders.items()}
        return {**encoders, "unet": self.unet, "vae": self.vae}

    def fingerprint(self) -> str:
        return sampled_digest(*self.modules().values())

    def vae_digest(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for name, weight in sorted(self.vae.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.cpu().contiguous().view(torch.uint8).numpy().tobytes())
        digest.update(f"{self.vae.dtype} {self.vae.config.scaling_factor}".encode())
        return digest.hexdigest()

    @torch.no_grad()
    def encode_pictures(self, pixels: Tensor) -> Moments:
        with self.parts.at_work(self.vae):
            found = self.vae.encode(pixels.to(self.device, self.vae.dtype)).latent_dist
        scale = self.vae.config.scaling_factor
        return Moments(found.mean.float() * scale, found.std.float() * scale)

    def release_vae(self) -> None:
        self.__dict__.pop("vae", None)

    def predict(
        self, noisy: Tensor, t: Tensor, condition: Condition, micro_conditioning: MicroConditioning
    ) -> Tensor:
        if self._takes_mask:
            mask, blank = self._all_masked(noisy)
            noisy = torch.cat([noisy, mask, blank], dim=1)
        return self._denoised(noisy, t, condition, micro_conditioning)

    def _denoised(
        self, taken: Tensor, t: Tensor, condition: Condition, micro_conditioning: MicroConditioning
    ) -> Tensor:
        """What the U-Net makes of all its channels."""
        with self._reading(condition):
            predicted: Tensor = self.unet(
                taken.to(self.dtype),
                t,
                condition.hidden.to(self.dtype),
                added_cond_kwargs=self.added(condition, micro_conditioning),
                return_dict=False,
            )[0]
        return predicted

    @torch.no_grad()
    def _rehearse(self) -> None:
        """See that the parts fit together, and come to numbers, on the smallest of pictures."""
        encoders = [encoder.model for encoder in self.encoders.values()]
        side = self.resolution_step // self._vae_scale
        with self._fitting("text encoder and U-Net"), self.parts.at_work(self.unet, *encoders):
            taken = torch.ones(1, self.unet.config.in_channels, side, side, device=self.device)
            micro_conditioning = torch.ones(1, 6, dtype=torch.int64, device=self.device)
            t = torch.zeros(1, dtype=torch.int64, device=self.device)
            made = self._denoised(taken, t, self.encode_text([""], {}), micro_conditioning)
            self._check_made(made, (1, self.unet.config.out_channels, side, side))
        if not self._takes_mask:  # which needs the VAE
            with self._fitting("scheduler and pipeline"):
                self._pipeline()

    @torch.no_grad()
    def _rehearse_vae(self, vae: Any) -> None:
        pixels = self.resolution_step
        side = pixels // self._vae_scale
        with self._fitting("VAE"), self.parts.at_work(vae):
            like: dict[str, Any] = {"device": self.device, "dtype": vae.dtype}
            latent = vae.encode(torch.zeros(1, 3, pixels, pixels, **like)).latent_dist.mean
            self._check_made(
                latent * vae.config.scaling_factor, (1, self.unet.config.out_channels, side, side)
            )
            made = vae.decode(latent / vae.config.scaling_factor, return_dict=False)[0]
            self._check_made(made, (1, 3, pixels, pixels))

    @contextmanager
    def _fitting(self, parts: str) -> Iterator[None]:
        try:
            yield
        except PseudowordError:
            raise
        except Exception as error:  # whatever the arithmetic of parts runs into that do not fit
            raise BaseModelError(
                f"{self.source.name}: its {parts} do not work together ({reason(error)}). The "
                "configs or the files are of different models."
            ) from error

    def _check_made(self, made: Tensor, shape: tuple[int, ...]) -> None:
        if tuple(made.shape) != shape:
            raise ValueError(f"{list(made.shape)} numbers come out where {list(shape)} should")
        if not torch.isfinite(made).all():
            raise BaseModelError(
                f"{self.source.name} predicts numbers that are not finite, so it can neither learn "
                f"nor draw{TOO_LARGE if self.dtype is torch.float16 else ''}."
            )

    @property
    def _takes_mask(self) -> bool:
        return bool(self.unet.config.in_channels > self.unet.config.out_channels)

    def _all_masked(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """A mask of ones and the latents of nothing: an inpainting U-Net then paints it all.

        AUTOMATIC1111 draws from text with such models in the same way.
        """
        size = latents.shape[-2:]
        if size not in self._blanks:
            loaded = "vae" in vars(self)
            height, width = (side * self._vae_scale for side in size)
            self._blanks[size] = self.encode_pictures(torch.zeros(1, 3, height, width)).mean
            if not loaded:
                self.release_vae()
        blank = self._blanks[size].to(latents).expand(len(latents), -1, -1, -1)
        return torch.ones_like(blank[:, :1]), blank

    @torch.no_grad()
    def draw(
        self,
        prompts: Sequence[str],
        negatives: Sequence[str],
        words: Words,
        generators: Sequence[Generator],
        how: GenerationSettings,
    ) -> list[Image]:
        with self.parts.at_work(*(encoder.model for encoder in self.encoders.values())):
            positive = self.encode_text(prompts, words)
            negative = self.encode_negative(negatives, words)
        to_fill = self._picture_to_fill(how, len(prompts))
        pipeline = self._pipeline(how.scheduler)
        at_work = self.parts.at_work(self.unet, *([self.vae] if self._takes_mask else []))
        with at_work, self._reading(positive):
            latents = pipeline(
                **_embeds("", positive),
                **_embeds("negative_", negative),
                **to_fill,
                **({"guidance_rescale": how.guidance_rescale} if how.guidance_rescale else {}),
                generator=list(generators),
                guidance_scale=how.guidance,
                num_inference_steps=how.sampler_steps,
                height=how.height,
                width=how.width,
                output_type="latent",
            ).images
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

    def check(self, how: GenerationSettings) -> None:
        kind = self._pipeline_kind
        # Guidance rescale: Lin et al. 2023, arXiv 2305.08891, section 3.4.
        if how.guidance_rescale and "guidance_rescale" not in signature(kind.__call__).parameters:
            raise SettingsError(
                f"--guidance-rescale does not work with {self.source.name}: diffusers' "
                f"{kind.__name__} has no such setting. Give 0."
            )
        rehearse(self.scheduler(how.scheduler), how.sampler_steps)

    def _picture_to_fill(self, how: GenerationSettings, count: int) -> dict[str, Any]:
        """What the inpainting pipeline needs besides: an empty picture, masked all over."""
        if not self._takes_mask:
            return {}
        height, width = (side // self._vae_scale for side in (how.height, how.width))
        channels = self.unet.config.out_channels
        _, blank = self._all_masked(torch.empty(count, channels, height, width, device=self.device))
        return {
            "image": torch.zeros(1, 3, how.height, how.width),
            "mask_image": torch.ones(1, 1, how.height, how.width),
            "masked_image_latents": blank.to(self.dtype),
            "strength": 1.0,
        }

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        scaled = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        with self.parts.at_work(self.vae):
            pixels: Tensor = self.vae.decode(scaled, return_dict=False)[0]
        return pixels

    @property
    def _pipeline_kind(self) -> Any:
        import diffusers

        return getattr(diffusers, self.inpainting if self._takes_mask else self.pipeline)

    def _pipeline(self, scheduler: str | None = None, **more: Any) -> Any:
        """diffusers' pipeline around our parts; its scheduler keeps state, so it is made anew."""
        kind = self._pipeline_kind
        takes = signature(kind).parameters
        parts: dict[str, Any] = {n: None for n, one in takes.items() if one.default is one.empty}
        parts |= {"unet": self.unet, "scheduler": self.scheduler(scheduler), **more}
        if self._takes_mask:
            parts["vae"] = self.vae
        if "requires_safety_checker" in takes:
            parts["requires_safety_checker"] = False
        pipeline = kind(**parts)
        pipeline.vae_scale_factor = self._vae_scale
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @contextmanager
    def changed_by(self, loras: Sequence[Lora]) -> Iterator[None]:
        parts: dict[str, Any] = {}
        for suffix, encoder in zip(("", "_2"), self.encoders.values(), strict=False):
            parts |= {
                f"text_encoder{suffix}": encoder.model,
                f"tokenizer{suffix}": encoder.tokenizer,
            }
        with applied(self._pipeline(**parts), loras):
            yield

    def scheduler(self, name: str | None = None) -> Any:
        import diffusers

        # The model's own kind; from_pretrained would make it the class that it is asked of.
        own = self.parts.config(diffusers.DDPMScheduler, "scheduler").get("_class_name")
        kind = getattr(diffusers, own, None) if isinstance(own, str) else None
        if not isinstance(kind, type) or not issubclass(kind, diffusers.SchedulerMixin):
            raise BaseModelError(
                f"{self.source.name}: its scheduler is {own!r:.60}, which this diffusers does not "
                "know. Write another as _class_name, such as DDIMScheduler, into its config"
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


def _halvings(config: Mapping[str, Any], where: str) -> int:
    """How often a model of these blocks halves the sides of what it is given."""
    blocks = config["block_out_channels"]
    if not isinstance(blocks, list | tuple) or not 1 <= len(blocks) <= MOST_BLOCKS:
        raise BaseModelError(
            f"{where}: block_out_channels should be a list of 1 to {MOST_BLOCKS} numbers"
        )
    return len(blocks) - 1


def _embeds(prefix: str, condition: Condition) -> dict[str, Tensor]:
    """`condition` under the names that diffusers' pipelines know."""
    named = {f"{prefix}prompt_embeds": condition.hidden}
    if condition.pooled is not None:
        named[f"{prefix}pooled_prompt_embeds"] = condition.pooled
    return named
