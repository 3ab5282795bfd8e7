"""FLUX.2 (klein and dev): hidden states of three blocks of a language model, patches as latents.

Conditioning is as in diffusers' Flux2Pipeline and Flux2KleinPipeline, which draw the pictures. dev
is distilled for guidance and reads its scale as a number, which is 1 in training, as for FLUX.1.
klein is guided by an empty prompt, or by a negative one; the distilled klein is not guided.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from pseudoword.models.autoencoder import Autoencoder
from pseudoword.models.drawing_defaults import UsualDrawing
from pseudoword.models.families.flux import training_guidance
from pseudoword.models.families.packed import PackedFamily, positions
from pseudoword.models.families.transformer import PATCH
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.models.reading.injection import Words, rows_of
from pseudoword.models.reading.language_model import up_to
from pseudoword.models.reading.pipeline_readers import default, in_chat, most_tokens
from pseudoword.models.reading.prompts import Prompts
from pseudoword.models.reading.sequence_reader import SequenceReader

PIPELINE, KLEIN_PIPELINE = "Flux2Pipeline", "Flux2KleinPipeline"


class Flux2Autoencoder(Autoencoder):
    """diffusers' AutoencoderKLFlux2, whose latents are scaled as its BatchNorm has seen them.

    There are a mean and a variance for each channel and each place in a patch.
    """

    kind = "AutoencoderKLFlux2"
    upcasts = False

    def scaling(self, vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = _statistics(vae, latents)
        return mean, 1 / std

    def unscaled(self, vae: Any, latents: Tensor) -> Tensor:
        mean, std = _statistics(vae, latents)
        return latents * std + mean  # rounded as the pipeline rounds it

    def scaling_text(self, vae: Any) -> str:
        return f"{vae.config.batch_norm_eps}"


def read_blocks(pipeline: str) -> tuple[int, ...]:
    """The blocks of the language model whose hidden states are the text."""
    blocks: tuple[int, ...] = default(pipeline, "text_encoder_out_layers")
    return blocks


def _in_chat(tokenizer: Any) -> SequenceReader:
    """Mistral 3 in a chat with a system message; its template writes the begin token."""
    from diffusers.pipelines.flux2.pipeline_flux2 import format_input

    def template(prompt: str) -> str:
        (messages,) = format_input([prompt])
        text: str = tokenizer.apply_chat_template(messages, tokenize=False)
        return text

    return SequenceReader(tokenizer, most_tokens(PIPELINE), template, special_tokens=False)


class Flux2(PackedFamily):
    """FLUX.2 dev; a concept has rows for Mistral 3."""

    name = "flux2"
    pipelines = (PIPELINE,)
    kind = "Flux2Transformer2DModel"
    reads_negative = False
    usual_guidance = 4.0
    text_encoders = (
        EncoderPart(
            "mistral3_24b",
            "Mistral3ForConditionalGeneration",
            reads=_in_chat,
            masked=True,
            take=lambda model: up_to(model, last=max(read_blocks(PIPELINE))),
        ),
    )
    autoencoder_kind = Flux2Autoencoder

    def own_shift(self, tokens: int) -> float:
        """The shift of a drawing in as many steps as the pipeline takes by default."""
        from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu

        steps = default(self.pipelines[0], "num_inference_steps")
        return float(compute_empirical_mu(tokens, steps))

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        ((key, encoder),) = self.encoders.items()
        encoded = encoder(prompts, rows_of(words, key), output_hidden_states=True)
        states = [encoded.part("hidden_states", block) for block in read_blocks(self.pipelines[0])]
        return Condition(encoded.text(torch.cat(states, dim=-1)))

    def places(self, text: Tensor, rows: int, columns: int) -> dict[str, Any]:
        """Four numbers each; the last one counts the tokens of a text."""
        length = text.shape[1]
        order = torch.arange(length, device=text.device, dtype=torch.float32)
        picture = positions(rows, columns, text.device)
        return {
            "txt_ids": torch.nn.functional.pad(order[:, None], (3, 0)),
            "img_ids": torch.nn.functional.pad(picture, (0, 1)),
        }

    def conditions(self, condition: Condition, _tokens: int) -> dict[str, Any]:
        return {"guidance": training_guidance(self.denoiser, condition.hidden)}

    def _pipeline(self, scheduler: str | None = None, **more: Any) -> Any:
        pipeline = super()._pipeline(scheduler, **more)
        pipeline.vae = _unscaling_nothing(self.denoiser.config.in_channels)
        return pipeline

    def from_pipeline(self, latents: Tensor, settings: GenerationSettings) -> Tensor:
        # klein's pipeline has unpacked them already
        return latents if latents.ndim == 4 else super().from_pipeline(latents, settings)


class Flux2Klein(Flux2):
    """FLUX.2 klein of any size, distilled or not; a concept has rows for Qwen 3."""

    pipelines = (KLEIN_PIPELINE,)
    text_encoders = (
        EncoderPart(
            "qwen3_4b",
            "Qwen3ForCausalLM",
            other_keys=("qwen3_8b",),
            reads=in_chat(KLEIN_PIPELINE, thinking=False),
            masked=True,
            take=lambda model: up_to(model, last=max(read_blocks(KLEIN_PIPELINE))),
        ),
    )

    def __init__(self, source: BaseSource, placement: Placement) -> None:
        super().__init__(source, placement)
        self.reads_negative = not self.is_distilled

    def distilled(self) -> UsualDrawing | None:
        """The settings on the card of the distilled klein."""
        return UsualDrawing(guidance=1.0, sampler_steps=4) if self.is_distilled else None

    @property
    def ignores_guidance(self) -> str:
        return "is distilled to draw without guidance" if self.is_distilled else ""


def _statistics(vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each number of `latents` `[B, C, h, w]`: `[C, h, w]`."""
    mean, std = vae.bn.running_mean, torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)
    height, width = latents.shape[-2:]
    tiles = (1, height // PATCH, width // PATCH)
    of_patch = (one.to(latents).view(-1, PATCH, PATCH) for one in (mean, std))
    mean, std = (one.repeat(tiles) for one in of_patch)
    return mean, std


def _unscaling_nothing(channels: int) -> Any:
    """Stands for the VAE in a pipeline, and leaves latents as they are: `decode` unscales them."""
    statistics = SimpleNamespace(
        running_mean=torch.zeros(channels, dtype=torch.float32),
        running_var=torch.ones(channels, dtype=torch.float32),
    )
    return SimpleNamespace(bn=statistics, config=SimpleNamespace(batch_norm_eps=0.0))
