"""Krea 2: hidden states of many blocks of Qwen 3 VL, which the transformer mixes itself.

Conditioning is as in diffusers' Krea2Pipeline, which draws the pictures: a prompt is padded before
the end of its template, and positions are counted without the padding.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pseudoword.models.drawing_defaults import UsualDrawing
from pseudoword.models.families.packed import PackedFamily
from pseudoword.models.families.qwen_image import QwenImageAutoencoder
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading import folder
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.loading.model_configs import ModelConfigs
from pseudoword.models.reading.injection import Words, rows_of
from pseudoword.models.reading.language_model import up_to
from pseudoword.models.reading.pipeline_readers import empty, most_tokens
from pseudoword.models.reading.prompts import Prompts
from pseudoword.models.reading.sequence_reader import SequenceReader

PIPELINE = "Krea2Pipeline"
BLOCKS_KEY = "text_encoder_select_layers"
MOST_BLOCKS = 1000
"""Of a language model; 36 are usual."""

DISTILLED_SHIFT = 1.15
"""The logarithm of the shift of the distilled model's noise levels, for pictures of any size."""


def _in_chat(tokenizer: Any) -> SequenceReader:
    """Qwen 3 VL in a chat about the picture, whose beginning is no text."""
    pipeline = empty(PIPELINE)
    first = pipeline.prompt_template_encode_start_idx
    before = pipeline.prompt_template_encode_prefix
    tokenizer.padding_side = "right"
    return SequenceReader(
        tokenizer,
        most_tokens(PIPELINE) + first,
        lambda prompt: before + prompt,
        behind=pipeline.prompt_template_encode_suffix,
        used=slice(first, None),
        counts_padding=False,
    )


def _read_blocks(configs: ModelConfigs) -> Sequence[int]:
    """The blocks of the language model whose hidden states are the text.

    Raises:
        BaseModelError: `model_index.json` says something else.
    """
    blocks = configs.setting(BLOCKS_KEY, None)
    if blocks is None:
        blocks = empty(PIPELINE).text_encoder_select_layers
    each = blocks if blocks and isinstance(blocks, list | tuple) else [blocks]
    where = f"{configs.source.name}: model_index.json: {BLOCKS_KEY}"
    return [folder.whole_number(block, where, MOST_BLOCKS) for block in each]


class Krea2(PackedFamily):
    """A Krea 2-style model; a concept has rows for Qwen 3 VL."""

    name = "krea2"
    pipelines = (PIPELINE,)
    kind = "Krea2Transformer2DModel"
    usual_guidance = 5.5
    text_encoders = (EncoderPart("qwen3vl_4b", "Qwen3VLModel", reads=_in_chat, masked=True),)
    autoencoder_kind = QwenImageAutoencoder
    mask_argument = "prompt_embeds_mask"

    @classmethod
    def _encoders_in(cls, configs: ModelConfigs) -> list[EncoderPart]:
        last = max(_read_blocks(configs))
        return [replace(one, take=lambda model: up_to(model, last)) for one in cls.text_encoders]

    def own_shift(self, _tokens: int) -> float | None:
        return DISTILLED_SHIFT if self.is_distilled else None

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        """Hidden states `[B, L, blocks, D]`."""
        ((key, encoder),) = self.encoders.items()
        encoded = encoder(prompts, rows_of(words, key), output_hidden_states=True)
        states = [encoded.part("hidden_states", block) for block in self._blocks]
        text = encoded.text(torch.cat(states, dim=-1))
        return Condition(text.unflatten(-1, (len(states), -1)), mask=encoded.mask.bool())

    @cached_property
    def _blocks(self) -> Sequence[int]:
        return _read_blocks(self.parts)

    def places(self, text: Tensor, rows: int, columns: int) -> dict[str, Any]:
        return {"position_ids": torch.cat(list(super().places(text, rows, columns).values()))}

    def conditions(self, condition: Condition, _tokens: int) -> dict[str, Any]:
        return {"encoder_attention_mask": condition.mask}

    def distilled(self) -> UsualDrawing | None:
        """The settings of the pipeline's example."""
        return UsualDrawing(guidance=1.0, sampler_steps=8) if self.is_distilled else None

    def drawing_options(self, settings: GenerationSettings, _count: int) -> dict[str, Any]:
        # its pipeline counts what is added to the prediction for the prompt: 0 is off, not 1
        return {"guidance_scale": settings.guidance - 1}
