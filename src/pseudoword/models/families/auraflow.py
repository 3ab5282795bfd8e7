"""AuraFlow: UMT5 (Pile-T5) without what it says of padding, one transformer.

Conditioning is as in diffusers' AuraFlowPipeline, which draws the pictures: the states of padding
are zeros, and the transformer reads them as text.
"""

import math

from torch import Tensor

from pseudoword.models.families.transformer import TransformerFamily, without_padding
from pseudoword.models.family import Condition
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.reading.injection import Words
from pseudoword.models.reading.pipeline_readers import cut_as_in
from pseudoword.models.reading.prompts import Prompts


class AuraFlow(TransformerFamily):
    """An AuraFlow-style model; a concept has rows for UMT5."""

    name = "auraflow"
    pipelines = ("AuraFlowPipeline",)
    kind = "AuraFlowTransformer2DModel"
    usual_guidance = 3.5
    states_size = False  # the pipeline draws 1024 pixels, whatever `sample_size` is
    text_encoders = (
        EncoderPart(
            "pile_t5xl", "UMT5EncoderModel", reads=cut_as_in("AuraFlowPipeline"), masked=True
        ),
    )

    @property
    def largest_side(self) -> int:
        return math.isqrt(self.denoiser.config.pos_embed_max_size) * self.resolution_step

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        return without_padding(super().encode_text(prompts, words))

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        return self.call_transformer(noisy, (times / 1000).to(self.dtype), condition)
