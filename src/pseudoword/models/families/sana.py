"""Sana and Sana 1.5 (Xie et al. 2024): Gemma 2 with an instruction, a flow on few, deep latents.

Conditioning is as in diffusers' SanaPipeline, which draws the pictures: before the prompt, Gemma
reads an instruction, of which only the first token's state stays. A negative prompt has none.
"""

import math
from typing import Any

from torch import Tensor

from pseudoword.models.autoencoder import DeepAutoencoder
from pseudoword.models.families.transformer import TransformerFamily
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.models.reading.language_model import up_to
from pseudoword.models.reading.pipeline_readers import cut_as_in, default, lower_case, most_tokens
from pseudoword.models.reading.sequence_reader import SequenceReader

PIPELINE = "SanaPipeline"

SIDES = 32
"""The pipeline takes only sides that are multiples of so many pixels."""


def _behind_instruction(tokenizer: Any) -> SequenceReader:
    """Prompts with an instruction before them, of which only the first token is text."""
    instruction = "\n".join(default(PIPELINE, "complex_human_instruction"))
    own = most_tokens(PIPELINE)
    tokenizer.padding_side = "right"
    length = len(tokenizer.encode(instruction)) + own - 2
    return SequenceReader(
        tokenizer,
        length,
        lambda prompt: instruction + lower_case(prompt),
        used=[0, *range(length - own + 1, length)],
    )


class Sana(TransformerFamily):
    """A Sana-style model; a concept has rows for Gemma 2."""

    name = "sana"
    pipelines = (PIPELINE,)
    kind = "SanaTransformer2DModel"
    usual_guidance = 4.5
    autoencoder_kind = DeepAutoencoder
    text_encoders = (
        EncoderPart(
            "gemma2_2b",
            "Gemma2Model",
            reads=_behind_instruction,
            reads_negative=cut_as_in(PIPELINE, lower_case),
            masked=True,
            take=up_to,
        ),
    )

    @classmethod
    def resolution_of(cls, configs: ModelConfigs) -> tuple[int, int]:
        side, step = super().resolution_of(configs)
        return side, math.lcm(step, SIDES)

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        timestep = times * self.denoiser.config.timestep_scale
        return self.call_transformer(
            noisy, timestep, condition, encoder_attention_mask=condition.mask
        )

    def drawing_options(self, _settings: GenerationSettings, _count: int) -> dict[str, Any]:
        # It would draw another size and scale the picture, and not take our negative prompt.
        return {"use_resolution_binning": False, "negative_prompt": None}
