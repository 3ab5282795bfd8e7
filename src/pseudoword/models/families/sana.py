"""Sana and Sana 1.5 (Xie et al. 2024): Gemma 2 with an instruction, a flow on few, deep latents.

Conditioning is as in diffusers' SanaPipeline, which draws the pictures: before the prompt, Gemma
reads an instruction, of which only the first token's state stays. A negative prompt has none.
"""

import math
from typing import Any

from torch import Tensor

from pseudoword.models import pipeline_readers
from pseudoword.models.autoencoder import DeepAutoencoder
from pseudoword.models.families.latent import patch_step, sample_side
from pseudoword.models.families.transformer import TransformerFamily
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.injection import Words, rows_of
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.prompt_reader import PromptReader
from pseudoword.models.prompts import Prompts
from pseudoword.models.text_encoder import TextEncoder

SIDES = 32
"""The pipeline takes only sides that are multiples of so many pixels."""


class Sana(TransformerFamily):
    """A Sana-style model; a concept has rows for Gemma 2."""

    name = "sana"
    pipelines = ("SanaPipeline",)
    kind = "SanaTransformer2DModel"
    usual_guidance = 4.5
    autoencoder_kind = DeepAutoencoder

    @staticmethod
    def readers(parts: ModelParts) -> list[PromptReader]:
        return [parts.reader("", pipeline_readers.sana)]

    def load_encoders(self) -> dict[str, TextEncoder]:
        from transformers import Gemma2Model

        gemma = self.parts.text_encoder(Gemma2Model, "", pipeline_readers.sana, masked=True)
        return {"gemma2_2b": gemma}

    @staticmethod
    def resolution_of(parts: ModelParts) -> tuple[int, int]:
        from diffusers import SanaTransformer2DModel

        config = parts.config(SanaTransformer2DModel, "transformer")
        where, scale = f"{parts.source.name}: its transformer", DeepAutoencoder.pixels(parts)
        step = math.lcm(patch_step(config, where) * scale, SIDES)
        return sample_side(config, where) * scale, step

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        return _condition(self.encoders["gemma2_2b"], prompts, words)

    def encode_negative(self, prompts: Prompts, words: Words) -> Condition:
        gemma = self.encoders["gemma2_2b"]
        reader = pipeline_readers.sana_negative(gemma.reader.tokenizer)
        return _condition(gemma.reading_with(reader), prompts, words)

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


def _condition(gemma: TextEncoder, prompts: Prompts, words: Words) -> Condition:
    encoded = gemma(prompts, rows_of(words, "gemma2_2b"))
    return Condition(encoded.text(encoded.output[0]), mask=encoded.mask)
