"""PixArt-Sigma (Chen et al. 2024): T5 with a mask, a transformer that predicts ε.

Conditioning is as in diffusers' PixArtSigmaPipeline, which draws the pictures. The transformer also
predicts a variance, which neither training nor the usual schedulers use.
"""

from typing import Any

from torch import Tensor

from pseudoword.models import pipeline_readers
from pseudoword.models.families.configs import diffusion_schedule
from pseudoword.models.families.transformer import TransformerFamily
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.injection import Words, rows_of
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.noise_schedule import NoiseSchedule
from pseudoword.models.prompt_reader import PromptReader
from pseudoword.models.prompts import Prompts
from pseudoword.models.text_encoder import TextEncoder


class PixArtSigma(TransformerFamily):
    """A PixArt-Sigma-style model; a concept has rows for T5."""

    name = "pixart"
    pipelines = ("PixArtSigmaPipeline",)
    kind = "PixArtTransformer2DModel"
    usual_guidance = 4.5

    @staticmethod
    def readers(parts: ModelParts) -> list[PromptReader]:
        return [parts.reader("", pipeline_readers.pixart)]

    def load_encoders(self) -> dict[str, TextEncoder]:
        from transformers import T5EncoderModel

        t5 = self.parts.text_encoder(T5EncoderModel, "", pipeline_readers.pixart, masked=True)
        return {"t5xxl": t5}

    def make_noise_schedule(self) -> NoiseSchedule:
        return diffusion_schedule(self.parts)

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        encoded = self.encoders["t5xxl"](prompts, rows_of(words, "t5xxl"))
        return Condition(encoded.text(encoded.part("last_hidden_state")), mask=encoded.mask)

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        predicted: Tensor = self.denoiser(
            noisy,
            timestep=times,
            encoder_hidden_states=condition.hidden.to(self.dtype),
            encoder_attention_mask=condition.mask,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
        )[0]
        return predicted[:, : self.latent_channels]

    def drawing_options(self, _settings: GenerationSettings, _count: int) -> dict[str, Any]:
        # It would draw another size and scale the picture, and not take our negative prompt.
        return {"use_resolution_binning": False, "negative_prompt": None}
