"""AuraFlow: UMT5 (Pile-T5) without what it says of padding, one transformer.

Conditioning is as in diffusers' AuraFlowPipeline, which draws the pictures: the states of padding
are zeros, and the transformer reads them as text.
"""

import math

from torch import Tensor

from pseudoword.models import pipeline_readers
from pseudoword.models.families.transformer import TransformerFamily, usual_resolution
from pseudoword.models.family import Condition
from pseudoword.models.injection import Words, rows_of
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.prompt_reader import PromptReader
from pseudoword.models.prompts import Prompts
from pseudoword.models.text_encoder import TextEncoder


class AuraFlow(TransformerFamily):
    """An AuraFlow-style model; a concept has rows for UMT5."""

    name = "auraflow"
    pipelines = ("AuraFlowPipeline",)
    kind = "AuraFlowTransformer2DModel"
    usual_guidance = 3.5

    @staticmethod
    def readers(parts: ModelParts) -> list[PromptReader]:
        return [parts.reader("", pipeline_readers.aura_flow)]

    def load_encoders(self) -> dict[str, TextEncoder]:
        from transformers import UMT5EncoderModel

        reads = pipeline_readers.aura_flow
        return {"pile_t5xl": self.parts.text_encoder(UMT5EncoderModel, "", reads, masked=True)}

    @classmethod
    def resolution_of(cls, parts: ModelParts) -> tuple[int, int]:
        # the pipeline draws 1024 pixels by default, whatever `sample_size` is
        return usual_resolution(parts, cls.autoencoder_kind)

    @property
    def largest_side(self) -> int:
        return math.isqrt(self.denoiser.config.pos_embed_max_size) * self.resolution_step

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        encoded = self.encoders["pile_t5xl"](prompts, rows_of(words, "pile_t5xl"))
        states = encoded.text(encoded.part("last_hidden_state"))
        return Condition(states * encoded.mask.unsqueeze(-1), mask=encoded.mask)

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        predicted: Tensor = self.denoiser(
            noisy,
            encoder_hidden_states=condition.hidden.to(self.dtype),
            timestep=(times / 1000).to(self.dtype),
            return_dict=False,
        )[0]
        return predicted
