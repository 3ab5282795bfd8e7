"""What families of latent diffusion models share, whatever their denoiser."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pseudoword.errors import SettingsError
from pseudoword.models.autoencoder import Autoencoder
from pseudoword.models.diffusers_classes import diffusers_class
from pseudoword.models.families.drawing import DiffusersDrawing
from pseudoword.models.family import Moments
from pseudoword.models.flow import Flow
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.loading.header import Header
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.loading.weights import sampled_digest
from pseudoword.models.noise_schedule import NoiseSchedule
from pseudoword.models.part_checks import check_output, working_together
from pseudoword.models.reading.prompt_reader import PromptReader
from pseudoword.models.reading.text_encoder import TextEncoder


class LatentFamily(DiffusersDrawing):
    """A denoiser of latents, the VAE that makes them, and text encoders.

    A family is a subclass that names its pipelines in diffusers, its denoiser and its text
    encoders, and says how text conditions it.
    """

    kind: str
    """diffusers' class of the denoiser"""
    denoiser_title: str
    """what messages call it"""
    skips_layers = False
    """whether people draw with models of it that read a text encoder's layer before the last"""
    autoencoder_kind: type[Autoencoder] = Autoencoder

    def __init__(self, source: BaseSource, placement: Placement) -> None:
        self.source, self.placement = source, placement
        self.parts = ModelParts(source, placement, self.pipelines[0])
        self.noise_schedule = self.make_noise_schedule()
        if isinstance(self.noise_schedule, Flow) and "prediction_type" in source.scheduler:
            raise SettingsError(
                f"--prediction-type {source.scheduler['prediction_type']} is not for "
                f"{source.name}, which predicts a flow. Leave it out."
            )
        if source.clip_skip > 1 and not self.skips_layers:
            raise SettingsError(
                f"--clip-skip {source.clip_skip} is not for {source.name}, whose denoiser was "
                "trained with one layer only. Leave it out."
            )
        self.encoders = self._load_encoders()
        self.denoiser = self.load_denoiser()
        if placement.checkpointing and not placement.offload_blocks:
            self.denoiser.enable_gradient_checkpointing(*self.checkpointing())
        self.autoencoder = self.autoencoder_kind(self.parts, self.latent_channels)
        if placement.device.type != "meta":
            self._check_parts()

    @staticmethod
    def layout_of(_header: Header) -> str | None:
        """Name of the `single_file_configs` for this header; None if it is of another family."""
        return None

    @staticmethod
    @abstractmethod
    def resolution_of(configs: ModelConfigs) -> tuple[int, int]:
        """The model's resolution, and what sides must be multiples of, without loading weights."""

    @classmethod
    def readers(cls, configs: ModelConfigs) -> list[PromptReader]:
        """The tokenizers and prompt lengths of the text encoders, without their weights."""
        return [configs.reader(one) for one in cls._encoders_in(configs)]

    def _load_encoders(self) -> dict[str, TextEncoder]:
        loaded = [(one, self.parts.text_encoder(one)) for one in self._encoders_in(self.parts)]
        return {one.key_of(encoder.width): encoder for one, encoder in loaded}

    @classmethod
    def _encoders_in(cls, configs: ModelConfigs) -> list[EncoderPart]:
        return [one for one in cls.text_encoders if not one.optional or configs.has(one.folder)]

    def load_denoiser(self) -> Any:
        """Load the denoiser.

        Raises:
            BaseModelError: it is not one that draws from text.
        """
        return self.parts.load_frozen(diffusers_class(self.kind), self.denoiser_part)

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
    def channels_read(self) -> int:
        """Those of the latents, with what else the denoiser reads beside them."""
        return self.latent_channels

    @property
    def vae(self) -> Any:
        """diffusers' model of the VAE, loaded when it is first used."""
        return self.autoencoder.model

    @property
    def resolution(self) -> int:
        return self._resolution_and_step[0]

    @property
    def resolution_step(self) -> int:
        return self._resolution_and_step[1]

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
            noisy = torch.ones(
                1, self.channels_read, side, side, device=self.device, dtype=torch.float32
            )
            t = torch.zeros(1, dtype=torch.int64, device=self.device)
            micro_conditioning = torch.ones(1, 6, dtype=torch.int64, device=self.device)
            output = self.predict(noisy, t, self.encode_text([""], {}), micro_conditioning)
            check_output(output, (1, self.latent_channels, side, side), self.source.name)
        self.check_pipeline()

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
