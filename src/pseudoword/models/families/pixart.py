"""PixArt-α and PixArt-Σ (Chen et al. 2023, 2024): T5 with a mask, a transformer that predicts ε.

Conditioning is as in diffusers' PixArtAlphaPipeline and PixArtSigmaPipeline, which draw the
pictures. The transformer also predicts a variance, which neither training nor the usual schedulers
use.
"""

from typing import Any

import torch
from torch import Tensor

from pseudoword.models.families.configs import diffusion_schedule
from pseudoword.models.families.transformer import TransformerFamily
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.noise_schedule import NoiseSchedule
from pseudoword.models.reading.pipeline_readers import cut_as_in, lower_case

SIGMA, ALPHA = "PixArtSigmaPipeline", "PixArtAlphaPipeline"


def _t5(pipeline: str) -> EncoderPart:
    reads = cut_as_in(pipeline, lower_case)
    return EncoderPart("t5xxl", "T5EncoderModel", reads=reads, masked=True)


class PixArtSigma(TransformerFamily):
    """A PixArt-Sigma-style model; a concept has rows for T5."""

    name = "pixart"
    pipelines = (SIGMA,)
    kind = "PixArtTransformer2DModel"
    usual_guidance = 4.5
    text_encoders = (_t5(SIGMA),)

    def make_noise_schedule(self) -> NoiseSchedule:
        return diffusion_schedule(self.parts)

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        predicted = self.call_transformer(
            noisy,
            times,
            condition,
            encoder_attention_mask=condition.mask,
            added_cond_kwargs=self.sizes(noisy),
        )
        return predicted[:, : self.latent_channels]

    def sizes(self, _noisy: Tensor) -> dict[str, Tensor | None]:
        """What the transformer is told of the size of each picture of a batch."""
        return {"resolution": None, "aspect_ratio": None}

    def drawing_options(self, _settings: GenerationSettings, _count: int) -> dict[str, Any]:
        # It would draw another size and scale the picture, and not take our negative prompt.
        return {"use_resolution_binning": False, "negative_prompt": None}


class PixArtAlpha(PixArtSigma):
    """A PixArt-α-style model. Those for 1024 pixels read height, width and their ratio."""

    pipelines = (ALPHA,)
    text_encoders = (_t5(ALPHA),)

    def sizes(self, noisy: Tensor) -> dict[str, Tensor | None]:
        if not self.denoiser.use_additional_conditions:
            return super().sizes(noisy)
        height, width = (side * self.autoencoder.scale for side in noisy.shape[-2:])
        told = torch.tensor(
            [height, width, height / width], device=noisy.device, dtype=torch.float32
        ).to(self.dtype)
        each = told.expand(len(noisy), -1)
        return {"resolution": each[:, :2], "aspect_ratio": each[:, 2:]}
