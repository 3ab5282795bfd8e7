"""Stable Diffusion XL (Podell et al. 2023): two CLIP text encoders, and micro-conditioning.

Conditioning is as in diffusers' StableDiffusionXLPipeline, which draws the pictures: the hidden
states before the last layer of both encoders, joined along their width; and, with the timestep, the
pooled text of the second encoder.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pseudoword.models.drawing_defaults import UsualDrawing
from pseudoword.models.families.unet import UNetFamily
from pseudoword.models.family import Condition, MicroConditioning
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.loading.header import Header
from pseudoword.models.reading.injection import Words, rows_of
from pseudoword.models.reading.prompts import ChunkedPrompts, Prompts


class StableDiffusionXL(UNetFamily):
    """An SDXL-style model; a concept has rows for each of its two encoders."""

    name = "sdxl"
    pipelines = ("StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline")
    text_encoders = (
        EncoderPart("clip_l", "CLIPTextModel"),
        EncoderPart("clip_g", "CLIPTextModelWithProjection", "_2"),
    )

    @staticmethod
    def layout_of(header: Header) -> str | None:
        is_sdxl = header.has("model.diffusion_model.") and header.has(
            "conditioner.embedders.1.model."
        )
        return "sdxl" if is_sdxl else None

    def distilled(self) -> UsualDrawing | None:
        """SDXL-Turbo, as on its card: small pictures in one step, from the highest noise level."""
        sampling = self.scheduler().config
        turbo = self.denoiser.config.sample_size == 64 and (
            sampling.get("timestep_spacing") == "trailing"
        )
        return UsualDrawing(guidance=1.0, sampler_steps=1) if turbo else super().distilled()

    def read_text(self, prompts: Prompts, words: Words, layers: Sequence[str]) -> Condition:
        encoded = [
            encoder(prompts, rows_of(words, key, layers), output_hidden_states=True)
            for key, encoder in self.encoders.items()
        ]
        hidden = torch.cat([one.text(one.part("hidden_states", -2)) for one in encoded], dim=-1)
        return Condition(hidden, pooled=encoded[-1].vector(encoded[-1].part("text_embeds")))

    def encode_negative(self, prompts: Prompts, words: Words) -> Condition:
        condition = self.encode_text(prompts, words)
        assert condition.pooled is not None
        if self.parts.setting("force_zeros_for_empty_prompt", True):
            written = prompts.written if isinstance(prompts, ChunkedPrompts) else prompts
            for b, prompt in enumerate(written):
                if not prompt:
                    condition.hidden[b] = 0
                    condition.pooled[b] = 0
        return condition

    def added_conditions(
        self, condition: Condition, micro_conditioning: MicroConditioning
    ) -> dict[str, Tensor]:
        assert condition.pooled is not None
        return {"text_embeds": condition.pooled.to(self.dtype), "time_ids": micro_conditioning}
