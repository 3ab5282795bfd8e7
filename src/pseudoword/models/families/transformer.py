"""What families with a transformer as denoiser share: plain prompts, and usually a flow."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from pseudoword.models.autoencoder import Autoencoder
from pseudoword.models.diffusers_classes import diffusers_class
from pseudoword.models.families.configs import LARGEST_SAMPLE, sample_side
from pseudoword.models.families.latent import LatentFamily
from pseudoword.models.family import Condition, MicroConditioning
from pseudoword.models.flow import flow_schedule
from pseudoword.models.loading import folder
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.models.noise_schedule import NoiseSchedule
from pseudoword.models.reading.injection import Words, rows_of
from pseudoword.models.reading.output_rows import WordRows
from pseudoword.models.reading.prompts import Prompts
from pseudoword.models.reading.text_encoder import TextEncoder

USUAL_SAMPLE, PATCH = 128, 2
"""Latent positions along a side of pictures of 1024 pixels and of a token, where no config says."""

LARGEST_PATCH = 8
"""The most latent positions along a side of a token."""

RESOLUTION_KEY = "_resolution"
"""The entry of `model_index.json` of a model made for others, in pixels; diffusers ignores it."""

PLANNED_TOKENS = 64
"""Tokens of a prompt for a transformer that reads no padding, where memory is only counted."""


class TransformerFamily(LatentFamily):
    """A latent diffusion model with a transformer, which predicts a flow if not said otherwise.

    A family is a subclass that names its transformer and its pipeline in diffusers and its text
    encoders, and says how they condition the transformer.
    """

    denoiser_part = "transformer"
    denoiser_title = "transformer"
    reads_weights = False
    states_size = True
    """whether its config states the size of the pictures that it was made for"""

    @classmethod
    def resolution_of(cls, configs: ModelConfigs) -> tuple[int, int]:
        """The resolution and the step that the transformer's config states, or usual ones."""
        if not cls.states_size:
            return _usual_resolution(configs, cls.autoencoder_kind)
        config = configs.config(diffusers_class(cls.kind), cls.denoiser_part)
        where = f"{configs.source.name}: its transformer"
        scale = cls.autoencoder_kind.scale_of(configs)
        side = sample_side(config, where)
        patch = folder.whole_number(config.get("patch_size"), f"{where}: patch_size", LARGEST_PATCH)
        return side * scale, patch * scale

    def make_noise_schedule(self) -> NoiseSchedule:
        from diffusers import FlowMatchEulerDiscreteScheduler

        timesteps = self.parts.timesteps(FlowMatchEulerDiscreteScheduler)
        tokens = (self.resolution // self.resolution_step) ** 2
        config = self.parts.config(FlowMatchEulerDiscreteScheduler, "scheduler")
        where = f"{self.source.name}: its scheduler"
        return flow_schedule(config, timesteps, tokens, where, mu=self.own_shift(tokens))

    def own_shift(self, _tokens: int) -> float | None:
        """The logarithm of the shift of a picture's noise levels; None: the scheduler's config."""
        return None

    @property
    def latent_channels(self) -> int:
        return int(self.denoiser.config.in_channels)

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        """Of a family with one text encoder: its last states, and which are of no padding."""
        ((key, encoder),) = self.encoders.items()
        return _last_states(encoder, prompts, rows_of(words, key))

    def encode_negative(self, prompts: Prompts, words: Words) -> Condition:
        reads = self.text_encoders[0].reads_negative
        if reads is None:
            return self.encode_text(prompts, words)
        ((key, encoder),) = self.encoders.items()
        negative = encoder.reading_with(reads(encoder.reader.tokenizer))
        return _last_states(negative, prompts, rows_of(words, key))

    def predict(
        self, noisy: Tensor, t: Tensor, condition: Condition, _: MicroConditioning
    ) -> Tensor:
        return self.run_transformer(noisy.to(self.dtype), self.noise_schedule.times(t), condition)

    @property
    def largest_side(self) -> int | None:
        """The side for which the config has positions of rows and columns, if it counts them."""
        positions = self.denoiser.config.get("axes_lens")
        return int(min(positions[1:]) * self.resolution_step) if positions else None

    @abstractmethod
    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        """The prediction, `[B, C, h, w]`: of a flow, the direction from latents to noise.

        Args:
            noisy: [B, C, h, w] noisy latents.
            times: [B] as the noise schedule tells them, 0 to 1000.
            condition: the text.
        """

    def call_transformer(
        self, noisy: Tensor, timestep: Tensor, condition: Condition, **more: object
    ) -> Tensor:
        """What the transformer gives, told the timestep `[B]` in its own unit and `more`."""
        predicted: Tensor = self.denoiser(
            noisy,
            timestep=timestep,
            encoder_hidden_states=condition.hidden.to(self.dtype),
            return_dict=False,
            **more,
        )[0]
        return predicted


def _last_states(encoder: TextEncoder, prompts: Prompts, rows: Mapping[str, WordRows]) -> Condition:
    encoded = encoder(prompts, rows)
    return Condition(encoded.text(encoded.part("last_hidden_state")), mask=encoded.mask)


def without_padding(condition: Condition) -> Condition:
    """A condition with zeros for the states of padding."""
    assert condition.mask is not None
    return replace(condition, hidden=condition.hidden * condition.mask.unsqueeze(-1))


def _usual_resolution(configs: ModelConfigs, vae: type[Autoencoder]) -> tuple[int, int]:
    """The resolution of a model none of whose configs says it, and what sides are multiples of."""
    scale = vae.scale_of(configs)
    side = folder.whole_number(
        configs.setting(RESOLUTION_KEY, USUAL_SAMPLE * scale),
        f"{configs.source.name}: model_index.json: {RESOLUTION_KEY}",
        LARGEST_SAMPLE * scale,
    )
    return side, scale * PATCH
