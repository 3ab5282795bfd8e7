"""What families with a U-Net share: prediction of ε or v, inpainting, a text for each layer."""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pseudoword.errors import BaseModelError
from pseudoword.formats.keys import is_layered
from pseudoword.models.compute.unet_activations import replace_activations
from pseudoword.models.cross_attention import cross_attention_layers, join_layers, text_per_layer
from pseudoword.models.diffusers_classes import diffusers_class
from pseudoword.models.families.configs import diffusion_schedule, sample_side
from pseudoword.models.families.latent import LatentFamily
from pseudoword.models.family import Condition, GenerationSettings, MicroConditioning
from pseudoword.models.loading import folder
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.noise_schedule import NoiseSchedule
from pseudoword.models.reading.injection import Words
from pseudoword.models.reading.prompts import Prompts


class UNetFamily(LatentFamily):
    """A latent diffusion model with a U-Net.

    A family is a subclass that names its pipelines in diffusers, first the one that draws from
    text, then the one for inpainting; names its text encoders; and says how they condition the
    U-Net.
    """

    denoiser_part = "unet"
    denoiser_title = "U-Net"
    kind = "UNet2DConditionModel"
    reads_weights = True

    def __init__(self, source: BaseSource, placement: Placement) -> None:
        self._blanks: dict[tuple[int, ...], Tensor] = {}
        super().__init__(source, placement)

    def load_denoiser(self) -> Any:
        kind = diffusers_class(self.kind)
        unet = self.parts.load_frozen(kind, self.denoiser_part, replace_activations)
        takes, gives = unet.config.in_channels, unet.config.out_channels
        if takes not in {gives, 2 * gives + 1}:  # inpainting: a mask and a masked picture too
            raise BaseModelError(
                f"{self.source.name}: its U-Net takes {takes} channels and gives {gives}, so it "
                "edits or enlarges pictures. Give a model that draws from text, or one for "
                "inpainting."
            )
        return unet

    def make_noise_schedule(self) -> NoiseSchedule:
        return diffusion_schedule(self.parts)

    @property
    def latent_channels(self) -> int:
        return int(self.denoiser.config.out_channels)

    @property
    def channels_read(self) -> int:
        """With those of a mask and of a masked picture, for inpainting."""
        return int(self.denoiser.config.in_channels)

    @abstractmethod
    def read_text(self, prompts: Prompts, words: Words, layers: Sequence[str]) -> Condition:
        """Encode `prompts` `[B, …]`; with `layers`, once per layer: `[layers·B, …]`."""

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        if not any(map(is_layered, words.values())):
            return self.read_text(prompts, words, ())
        count = len(self.layers)
        texts = self.read_text(prompts, words, self.layers)
        # The U-Net reads one pooled vector per prompt: the mean over the layers.
        pooled = None if texts.pooled is None else texts.pooled.unflatten(0, (count, -1)).mean(0)
        return Condition(join_layers(texts.hidden, count), pooled, layered=True)

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
        return cross_attention_layers(self.denoiser)

    def reading(self, condition: Condition) -> AbstractContextManager[None]:
        """While open, each layer of the U-Net reads its own text if `condition` is layered."""
        return text_per_layer(self.denoiser, self._layers) if condition.layered else nullcontext()

    @classmethod
    def resolution_of(cls, configs: ModelConfigs) -> tuple[int, int]:
        """The sides must be multiples of the VAE's scale times the U-Net's own downsampling."""
        unet = configs.config(diffusers_class(cls.kind), cls.denoiser_part)
        where, scale = f"{configs.source.name}: its unet", cls.autoencoder_kind.scale_of(configs)
        return sample_side(unet, where) * scale, scale * 2 ** folder.halving_count(unet, where)

    def predict(
        self, noisy: Tensor, t: Tensor, condition: Condition, micro_conditioning: MicroConditioning
    ) -> Tensor:
        # The check of the parts gives all channels, so that it loads no VAE for those of the mask.
        if noisy.shape[1] < self.channels_read:
            mask, blank = self._full_mask(noisy)
            noisy = torch.cat([noisy, mask, blank], dim=1)
        with self.reading(condition):
            predicted: Tensor = self.denoiser(
                noisy.to(self.dtype),
                t,
                condition.hidden.to(self.dtype),
                timestep_cond=self._guidance_read(len(noisy)),
                added_cond_kwargs=self.added_conditions(condition, micro_conditioning),
                return_dict=False,
            )[0]
        return predicted

    def _guidance_read(self, count: int) -> Tensor | None:
        """What a latent consistency model reads with the timestep, `[count, width]`; else None.

        It has learned what guidance makes of a prediction, and reads the scale minus one as sines
        and cosines (Luo et al. 2023, arXiv 2310.04378). As with other models that are
        distilled for guidance, a word learns at a scale of 1, where it leaves predictions as they
        are: there all sines are 0, and all cosines are 1.
        """
        width = self.denoiser.config.time_cond_proj_dim
        if width is None:
            return None
        read = torch.zeros(count, width, device=self.device, dtype=self.dtype)
        read[:, width // 2 : 2 * (width // 2)] = 1
        return read

    def check_pipeline(self) -> None:
        if not self._takes_mask:  # an inpainting pipeline needs the VAE
            super().check_pipeline()

    @property
    def _takes_mask(self) -> bool:
        return self.channels_read > self.latent_channels

    def _full_mask(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """A mask of ones and the latents of a grey picture: an inpainting U-Net then paints it all.

        AUTOMATIC1111 also draws from text with inpainting models in this way.
        """
        size = latents.shape[-2:]
        if size not in self._blanks:
            loaded = self.autoencoder.is_loaded
            height, width = (side * self.autoencoder.scale for side in size)
            self._blanks[size] = self.encode_pictures(
                torch.zeros(1, 3, height, width, dtype=torch.float32)
            ).mean
            if not loaded:
                self.release_vae()
        blank = self._blanks[size].to(latents).expand(len(latents), -1, -1, -1)
        return torch.ones_like(blank[:, :1]), blank

    def drawing_options(self, settings: GenerationSettings, count: int) -> dict[str, Any]:
        """Further inputs of the inpainting pipeline: a grey picture with all of it masked."""
        if not self._takes_mask:
            return {}
        height, width = (
            side // self.autoencoder.scale for side in (settings.height, settings.width)
        )
        channels = self.denoiser.config.out_channels
        _, blank = self._full_mask(torch.empty(count, channels, height, width, device=self.device))
        return {
            "image": torch.zeros(1, 3, settings.height, settings.width, dtype=torch.float32),
            "mask_image": torch.ones(1, 1, settings.height, settings.width, dtype=torch.float32),
            "masked_image_latents": blank.to(self.dtype),
            "strength": 1.0,
        }

    @property
    def drawing_models(self) -> list[Any]:
        return [self.denoiser, *([self.vae] if self._takes_mask else [])]

    @property
    def _pipeline_kind(self) -> Any:
        return diffusers_class(self.pipelines[self._takes_mask])

    def _pipeline(self, scheduler: str | None = None, **more: Any) -> Any:
        vae = {"vae": self.vae} if self._takes_mask else {}
        return super()._pipeline(scheduler, **vae, **more)

    @property
    def text_width(self) -> int:
        width: int | Sequence[int] = self.denoiser.config.cross_attention_dim
        return width if isinstance(width, int) else width[0]
