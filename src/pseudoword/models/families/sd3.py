"""Stable Diffusion 3 and 3.5 (Esser et al. 2024): CLIP-L, CLIP-G and perhaps T5, one transformer.

Conditioning is as in diffusers' StableDiffusion3Pipeline, which draws the pictures: the hidden
states before the last layer of both CLIPs, joined along their width and filled up with zeros;
behind them those of T5; and the pooled text of both CLIPs. A model without T5 reads zeros instead.
"""

import torch
from torch import Tensor

from pseudoword.models.families.transformer import TransformerFamily
from pseudoword.models.family import Condition
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.reading.injection import Words, rows_of
from pseudoword.models.reading.pipeline_readers import cut_as_in, most_tokens
from pseudoword.models.reading.prompts import Prompts

PIPELINE = "StableDiffusion3Pipeline"


class StableDiffusion3(TransformerFamily):
    """An SD 3-style model; a concept has rows for each of its encoders."""

    name = "sd3"
    pipelines = (PIPELINE,)
    kind = "SD3Transformer2DModel"
    usual_guidance = 7.0
    text_encoders = (
        EncoderPart("clip_l", "CLIPTextModelWithProjection"),
        EncoderPart("clip_g", "CLIPTextModelWithProjection", "_2"),
        EncoderPart("t5xxl", "T5EncoderModel", "_3", cut_as_in(PIPELINE), optional=True),
    )

    @property
    def largest_side(self) -> int:
        return int(self.denoiser.config.pos_embed_max_size * self.resolution_step)

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        width = self.denoiser.config.joint_attention_dim
        clip = [
            self.encoders[key](prompts, rows_of(words, key), output_hidden_states=True)
            for key in ("clip_l", "clip_g")
        ]
        pooled = torch.cat([one.part("text_embeds") for one in clip], dim=-1)
        hidden = torch.cat([one.text(one.part("hidden_states", -2)) for one in clip], dim=-1)
        texts = torch.nn.functional.pad(hidden, (0, width - hidden.shape[-1]))
        if "t5xxl" in self.encoders:
            encoded = self.encoders["t5xxl"](prompts, rows_of(words, "t5xxl"))
            t5 = encoded.text(encoded.part("last_hidden_state"))
        else:
            t5 = texts.new_zeros(len(texts), most_tokens(PIPELINE), width)
        return Condition(torch.cat([texts, t5], dim=1), pooled)

    def run_transformer(self, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
        assert condition.pooled is not None
        pooled = condition.pooled.to(self.dtype)
        return self.call_transformer(noisy, times, condition, pooled_projections=pooled)
