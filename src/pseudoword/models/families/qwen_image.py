"""Qwen-Image (Wu et al. 2025): Qwen 2.5 VL in a chat about the picture, a VAE made for films.

Conditioning is as in diffusers' QwenImagePipeline, which draws the pictures: the hidden states
behind the whole language model, without those of the template before the prompt. A picture is a
film of one frame.
"""

from typing import Any

import torch
from torch import Tensor

from pseudoword.models.autoencoder import Autoencoder
from pseudoword.models.families.packed import PackedFamily
from pseudoword.models.families.transformer import without_padding
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.reading.injection import Words
from pseudoword.models.reading.language_model import up_to
from pseudoword.models.reading.pipeline_readers import empty, most_tokens
from pseudoword.models.reading.prompts import Prompts
from pseudoword.models.reading.sequence_reader import SequenceReader

PIPELINE = "QwenImagePipeline"


class QwenImageAutoencoder(Autoencoder):
    """diffusers' AutoencoderKLQwenImage, with a mean and a deviation for each channel."""

    kind = "AutoencoderKLQwenImage"
    blocks = "dim_mult"
    upcasts = False

    def moments(self, vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
        found = vae.encode(pixels.unsqueeze(2)).latent_dist
        return found.mean.squeeze(2), found.std.squeeze(2)

    def pixels_of(self, vae: Any, latents: Tensor) -> Tensor:
        pixels: Tensor = vae.decode(latents.unsqueeze(2), return_dict=False)[0]
        return pixels.squeeze(2)

    def scaling(self, vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
        numbers = (vae.config.latents_mean, vae.config.latents_std)
        mean, std = (
            torch.tensor(one, dtype=torch.float32).view(1, -1, 1, 1).to(latents) for one in numbers
        )
        return mean, 1 / std

    def scaling_text(self, vae: Any) -> str:
        return f"{list(vae.config.latents_mean)} {list(vae.config.latents_std)}"


def _in_chat(tokenizer: Any) -> SequenceReader:
    """Qwen 2.5 VL in a chat about the picture, whose beginning is no text."""
    pipeline = empty(PIPELINE)
    first = pipeline.prompt_template_encode_start_idx
    tokenizer.padding_side = "right"
    return SequenceReader(
        tokenizer,
        most_tokens(PIPELINE) + first,  # the pipeline encodes twice as many, and then cuts them
        pipeline.prompt_template_encode.format,
        used=slice(first, None),
        pads_to_longest=True,
    )


class QwenImage(PackedFamily):
    """A Qwen-Image-style model; a concept has rows for Qwen 2.5 VL."""

    name = "qwen-image"
    pipelines = (PIPELINE,)
    kind = "QwenImageTransformer2DModel"
    graphable = False
    usual_guidance = 4.0
    text_encoders = (
        EncoderPart(
            "qwen25_7b",
            "Qwen2_5_VLForConditionalGeneration",
            reads=_in_chat,
            masked=True,
            take=up_to,
        ),
    )
    autoencoder_kind = QwenImageAutoencoder
    mask_argument = "prompt_embeds_mask"

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        return without_padding(super().encode_text(prompts, words))

    def places(self, text: Tensor, rows: int, columns: int) -> dict[str, Any]:
        return {"img_shapes": [[(1, rows, columns)]] * len(text)}

    def conditions(self, condition: Condition, _tokens: int) -> dict[str, Any]:
        return {"encoder_hidden_states_mask": condition.mask}

    def drawing_options(self, settings: GenerationSettings, _count: int) -> dict[str, Any]:
        # the other scale would be for models that read it as a number, of which there are none
        return {"true_cfg_scale": settings.guidance, "guidance_scale": None}
