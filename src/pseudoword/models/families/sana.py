"""Sana and Sana 1.5 (Xie et al. 2024): Gemma 2 with an instruction, a flow on few, deep latents.

Conditioning is as in diffusers' SanaPipeline, which draws the pictures: before the prompt, Gemma
reads an instruction, of which only the first token's state stays. A negative prompt has none.
"""

import math
from typing import Any

from torch import Tensor

from pseudoword.models import pipeline_readers
from pseudoword.models.autoencoder import DeepAutoencoder
from pseudoword.models.families.gemma import GemmaFamily
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading.parts import ModelParts

SIDES = 32
"""The pipeline takes only sides that are multiples of so many pixels."""


class Sana(GemmaFamily):
    """A Sana-style model; a concept has rows for Gemma 2."""

    name = "sana"
    pipelines = ("SanaPipeline",)
    kind = "SanaTransformer2DModel"
    usual_guidance = 4.5
    autoencoder_kind = DeepAutoencoder
    reads = staticmethod(pipeline_readers.sana)
    reads_against = staticmethod(pipeline_readers.sana_negative)

    @classmethod
    def resolution_of(cls, parts: ModelParts) -> tuple[int, int]:
        side, step = super().resolution_of(parts)
        return side, math.lcm(step, SIDES)

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        predicted: Tensor = self.denoiser(
            noisy,
            timestep=times * self.denoiser.config.timestep_scale,
            encoder_hidden_states=condition.hidden.to(self.dtype),
            encoder_attention_mask=condition.mask,
            return_dict=False,
        )[0]
        return predicted

    def drawing_options(self, _settings: GenerationSettings, _count: int) -> dict[str, Any]:
        # It would draw another size and scale the picture, and not take our negative prompt.
        return {"use_resolution_binning": False, "negative_prompt": None}
