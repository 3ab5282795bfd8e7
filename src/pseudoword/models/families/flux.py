"""FLUX.1 (dev, schnell and Krea): the pooled text of CLIP-L, and the hidden states of T5.

Conditioning is as in diffusers' FluxPipeline, which draws the pictures. Models that are distilled
for guidance (dev, Krea) read its scale as a number, which is 1 in training.
"""

from typing import Any

import torch
from torch import Tensor

from pseudoword.models.drawing_defaults import UsualDrawing
from pseudoword.models.families.packed import PackedFamily
from pseudoword.models.family import Condition
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.reading.injection import Words, rows_of
from pseudoword.models.reading.pipeline_readers import cut_as_in
from pseudoword.models.reading.prompts import Prompts


class Flux(PackedFamily):
    """A FLUX.1-style model; a concept has rows for both of its encoders."""

    name = "flux"
    pipelines = ("FluxPipeline",)
    kind = "FluxTransformer2DModel"
    reads_negative = False
    usual_guidance = 3.5
    text_encoders = (
        EncoderPart("clip_l", "CLIPTextModel"),
        EncoderPart("t5xxl", "T5EncoderModel", "_2", cut_as_in("FluxPipeline")),
    )

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        clip = self.encoders["clip_l"](prompts, rows_of(words, "clip_l"))
        t5 = self.encoders["t5xxl"](prompts, rows_of(words, "t5xxl"))
        return Condition(t5.text(t5.part("last_hidden_state")), pooled=clip.part("pooler_output"))

    def conditions(self, condition: Condition, _tokens: int) -> dict[str, Any]:
        assert condition.pooled is not None
        pooled = condition.pooled.to(self.dtype)
        return {"pooled_projections": pooled, "guidance": training_guidance(self.denoiser, pooled)}

    @property
    def ignores_guidance(self) -> str:
        return "" if self.denoiser.config.guidance_embeds else "reads no guidance scale"

    def distilled(self) -> UsualDrawing | None:
        """schnell, as in the example of its pipeline; it alone neither reads a scale nor shifts."""
        reads_scale = self.denoiser.config.guidance_embeds
        schnell = not reads_scale and not self.scheduler().config.use_dynamic_shifting
        return UsualDrawing(guidance=1.0, sampler_steps=4) if schnell else None


def training_guidance(denoiser: Any, text: Tensor) -> Tensor | None:
    """The guidance scale for each text of a batch `[B, …]`; None if the model reads none.

    Models that are distilled for guidance have learned what it makes of a prediction. At a scale of
    1 they give the plain prediction.
    """
    if not denoiser.config.guidance_embeds:
        return None
    return torch.ones(len(text), device=text.device, dtype=torch.float32)
