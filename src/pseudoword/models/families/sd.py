"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, and a U-Net that predicts ε or v.

Conditioning is as in diffusers' StableDiffusionPipeline, which draws the pictures.
"""

from collections.abc import Sequence

from pseudoword.models.families.unet import UNetFamily
from pseudoword.models.family import Condition
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.loading.header import Header
from pseudoword.models.reading.injection import Words, rows_of
from pseudoword.models.reading.prompts import Prompts


class StableDiffusion(UNetFamily):
    """An SD 1.x/2.x-style model."""

    name = "sd"
    skips_layers = True
    pipelines = ("StableDiffusionPipeline", "StableDiffusionInpaintPipeline")
    text_encoders = (EncoderPart("clip_l", "CLIPTextModel", other_keys=("clip_h", "clip_g")),)

    @staticmethod
    def layout_of(header: Header) -> str | None:
        if not header.has("model.diffusion_model.") or not header.has("cond_stage_model."):
            return None
        return "sd2" if header.has("cond_stage_model.model.") else "sd1"

    def read_text(self, prompts: Prompts, words: Words, layers: Sequence[str]) -> Condition:
        ((key, encoder),) = self.encoders.items()
        found = encoder(prompts, rows_of(words, key, layers))
        return Condition(found.text(found.part("last_hidden_state")))
