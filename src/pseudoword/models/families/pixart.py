"""PixArt-Sigma (Chen et al. 2024): T5 with a mask, a transformer that predicts ε.

Conditioning is as in diffusers' PixArtSigmaPipeline, which draws the pictures. The transformer also
predicts a variance, which neither training nor the usual schedulers use.
"""

from typing import Any

from torch import Tensor

from pseudoword.models.families.configs import diffusion_schedule
from pseudoword.models.families.transformer import TransformerFamily
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.noise_schedule import NoiseSchedule
from pseudoword.models.reading.pipeline_readers import cut_as_in, lower_case


class PixArtSigma(TransformerFamily):
    """A PixArt-Sigma-style model; a concept has rows for T5."""

    name = "pixart"
    pipelines = ("PixArtSigmaPipeline",)
    kind = "PixArtTransformer2DModel"
    usual_guidance = 4.5
    text_encoders = (
        EncoderPart(
            "t5xxl",
            "T5EncoderModel",
            reads=cut_as_in("PixArtSigmaPipeline", lower_case),
            masked=True,
        ),
    )

    def make_noise_schedule(self) -> NoiseSchedule:
        return diffusion_schedule(self.parts)

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
