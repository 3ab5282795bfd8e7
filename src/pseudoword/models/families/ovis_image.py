"""Ovis-Image: Qwen 3 in a chat about a description of the picture, a relative of FLUX.1's model.

Conditioning is as in diffusers' OvisImagePipeline, which draws the pictures: states behind the
instruction are the text, and the transformer reads zeros for those of padding.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pseudoword.models.families.packed import PackedFamily
from pseudoword.models.families.transformer import without_padding
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.reading.injection import Words
from pseudoword.models.reading.pipeline_readers import chat, empty, most_tokens
from pseudoword.models.reading.prompts import Prompts
from pseudoword.models.reading.sequence_reader import SequenceReader

PIPELINE = "OvisImagePipeline"


def _in_chat(tokenizer: Any) -> SequenceReader:
    """Qwen 3, which has been told what to describe; that is no text."""
    pipeline = empty(PIPELINE)
    instruction, first = pipeline.system_prompt, pipeline.user_prompt_begin_id
    said = chat(tokenizer, thinking=False)
    return SequenceReader(
        tokenizer,
        most_tokens(PIPELINE) + first,
        lambda prompt: said(instruction + prompt),
        used=slice(first, None),
    )


class OvisImage(PackedFamily):
    """An Ovis-Image-style model; a concept has rows for Qwen 3."""

    name = "ovis-image"
    pipelines = (PIPELINE,)
    kind = "OvisImageTransformer2DModel"
    usual_guidance = 5.0
    text_encoders = (EncoderPart("qwen3_2b", "Qwen3Model", reads=_in_chat, masked=True),)

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        return replace(without_padding(super().encode_text(prompts, words)), mask=None)

    def places(self, text: Tensor, rows: int, columns: int) -> dict[str, Any]:
        """The text is on the diagonal, beginning where the picture does."""
        found = super().places(text, rows, columns)
        found["txt_ids"][:, 1:] = torch.arange(text.shape[1], device=text.device)[:, None]
        return found

    def drawing_options(self, _settings: GenerationSettings, _count: int) -> dict[str, Any]:
        # it refuses encoded negative prompts beside its default, which is an empty text
        return {"negative_prompt": None}
