"""Lumina-Image 2.0 (Qin et al. 2025): Gemma 2 behind a sentence, one sequence of text and picture.

Conditioning is as in diffusers' Lumina2Pipeline, which draws the pictures: the hidden states before
the last block of Gemma. A negative prompt has no sentence before it. Time runs from noise, 0, to
the picture, 1, and the transformer predicts the direction from noise to latents.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from pseudoword.models.families.transformer import PLANNED_TOKENS, TransformerFamily
from pseudoword.models.family import Condition
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.reading.language_model import up_to
from pseudoword.models.reading.pipeline_readers import cut_as_in, empty, most_tokens
from pseudoword.models.reading.sequence_reader import SequenceReader

PIPELINE = "Lumina2Pipeline"


def _behind_sentence(tokenizer: Any) -> SequenceReader:
    """Prompts with the sentence of the pipeline before them."""
    sentence: str = empty(PIPELINE).system_prompt
    tokenizer.padding_side = "right"
    return SequenceReader(
        tokenizer, most_tokens(PIPELINE), lambda prompt: f"{sentence} <Prompt Start> {prompt}"
    )


class Lumina2(TransformerFamily):
    """A Lumina 2-style model; a concept has rows for Gemma 2."""

    name = "lumina2"
    pipelines = (PIPELINE, "Lumina2Text2ImgPipeline")  # an older name for it
    kind = "Lumina2Transformer2DModel"
    graphable = False
    usual_guidance = 4.0
    text_encoders = (
        EncoderPart(
            "gemma2_2b",
            "Gemma2Model",
            reads=_behind_sentence,
            reads_negative=cut_as_in(PIPELINE),
            masked=True,
            take=partial(up_to, last=-2),
        ),
    )

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        mask = _with_numbers(condition.mask)
        return -self.call_transformer(
            noisy, 1 - times / 1000, condition, encoder_attention_mask=mask
        )


def _with_numbers(mask: Tensor | None) -> Tensor:
    """The mask `[B, L]`: the transformer must know how many tokens each text has."""
    assert mask is not None
    if not mask.is_meta:
        return mask
    planned = torch.arange(mask.shape[1]) < PLANNED_TOKENS
    return planned.to(mask.dtype).expand(mask.shape)
