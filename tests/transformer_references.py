"""What diffusers' pipelines predict for noisy latents, for each family with a transformer.

As in the denoising loop of each pipeline, for prompts as the pipeline itself reads them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor


def sd3(pipeline: Any, prompts: Sequence[str], noisy: Tensor, sigma: Tensor) -> Tensor:
    text, _, pooled, _ = pipeline.encode_prompt(
        prompts, None, None, do_classifier_free_guidance=False
    )
    predicted: Tensor = pipeline.transformer(
        noisy, timestep=sigma * 1000, encoder_hidden_states=text, pooled_projections=pooled
    ).sample
    return predicted


REFERENCES: Mapping[str, Callable[[Any, Sequence[str], Tensor, Tensor], Tensor]] = {"sd3": sd3}
"""Family -> its pipeline, `B` prompts, noisy latents `[B, C, h, w]` and σ `[B]` -> direction from
latents to noise."""
