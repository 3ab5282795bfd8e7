"""Z-Image (base and Turbo): Qwen 3 in a chat, texts of different lengths side by side.

Conditioning is as in diffusers' ZImagePipeline, which draws the pictures: the hidden states before
the last block, without padding. Its transformer counts time from noise to picture, and predicts the
direction from noise to latents.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from pseudoword.models.drawing_defaults import UsualDrawing
from pseudoword.models.families.transformer import PLANNED_TOKENS, TransformerFamily
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.reading.language_model import up_to
from pseudoword.models.reading.pipeline_readers import in_chat

TURBO_SHIFT = 3.0
"""The shift of Turbo's noise levels; the base has 6."""


class ZImage(TransformerFamily):
    """A Z-Image-style model; a concept has rows for Qwen 3."""

    name = "z-image"
    pipelines = ("ZImagePipeline",)
    kind = "ZImageTransformer2DModel"
    graphable = False
    states_size = False
    usual_guidance = 6.0
    text_encoders = (
        EncoderPart(
            "qwen3_4b",
            "Qwen3Model",
            reads=in_chat("ZImagePipeline", thinking=True),
            masked=True,
            take=partial(up_to, last=-2),
        ),
    )

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        predicted = self.denoiser(
            list(noisy.unsqueeze(2)),  # one frame each
            (1000 - times) / 1000,
            [text.to(self.dtype) for text in texts(condition)],
            return_dict=False,
        )[0]
        return -torch.stack(predicted).squeeze(2)

    def distilled(self) -> UsualDrawing | None:
        """Turbo, as in the example of the pipeline. Its files differ by the scheduler's shift."""
        shift = self.scheduler().config.get("shift")
        return UsualDrawing(guidance=1.0, sampler_steps=8) if shift == TURBO_SHIFT else None

    def drawing_options(self, settings: GenerationSettings, _count: int) -> dict[str, Any]:
        # its pipeline counts what is added to the prediction for the prompt: 0 is off, not 1
        return {"guidance_scale": settings.guidance - 1}

    def prompt_embeds(self, prefix: str, condition: Condition | None) -> dict[str, Any]:
        return {} if condition is None else {f"{prefix}prompt_embeds": texts(condition)}


def texts(condition: Condition) -> list[Tensor]:
    """The hidden states of each text without padding: `[L, D]` of different lengths."""
    assert condition.mask is not None
    if condition.mask.is_meta:
        return list(condition.hidden[:, :PLANNED_TOKENS])
    return [
        states[read] for states, read in zip(condition.hidden, condition.mask.bool(), strict=True)
    ]
