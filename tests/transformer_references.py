"""What diffusers' pipelines predict for noisy latents, for each family with a transformer.

As in the denoising loop of each pipeline, for prompts as the pipeline itself reads them.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor


def sd3(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    text, _, pooled, _ = pipeline.encode_prompt(
        prompts, None, None, do_classifier_free_guidance=False
    )
    predicted: Tensor = pipeline.transformer(
        noisy, timestep=times, encoder_hidden_states=text, pooled_projections=pooled
    ).sample
    return predicted


def flux(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    """Trained without guidance: at a scale of 1."""
    text, pooled, text_ids = pipeline.encode_prompt(prompts)
    return _of_tokens(
        pipeline,
        noisy,
        timestep=times / 1000,
        guidance=torch.ones(len(prompts)),
        pooled_projections=pooled,
        encoder_hidden_states=text,
        txt_ids=text_ids,
    )


def flux2(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    """Trained without guidance: at a scale of 1, if it reads one."""
    text, text_ids = pipeline.encode_prompt(list(prompts))
    patches = pipeline._patchify_latents(noisy)
    predicted = pipeline.transformer(
        pipeline._pack_latents(patches),
        timestep=times / 1000,
        guidance=torch.ones(len(prompts)) if pipeline.transformer.config.guidance_embeds else None,
        encoder_hidden_states=text,
        txt_ids=text_ids,
        img_ids=pipeline._prepare_latent_ids(patches),
    ).sample
    ids = pipeline._prepare_latent_ids(patches)
    found: Tensor = pipeline._unpatchify_latents(pipeline._unpack_latents_with_ids(predicted, ids))
    return found


def qwen_image(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    text, mask = pipeline.encode_prompt(list(prompts))
    batch, channels, height, width = noisy.shape
    predicted = pipeline.transformer(
        pipeline._pack_latents(noisy, batch, channels, height, width),
        timestep=times / 1000,
        encoder_hidden_states=text,
        encoder_hidden_states_mask=mask,
        img_shapes=[[(1, height // 2, width // 2)]] * batch,
    ).sample
    scale = pipeline.vae_scale_factor
    found: Tensor = pipeline._unpack_latents(predicted, height * scale, width * scale, scale)
    return found[:, :, 0]


def krea2(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    text, mask = pipeline.encode_prompt(list(prompts))
    batch, channels, height, width = noisy.shape
    tokens = pipeline._pack_latents(noisy, batch, channels, height, width)
    places = pipeline.prepare_position_ids(text.shape[1], height // 2, width // 2, noisy.device)
    predicted = pipeline.transformer(tokens, text, times / 1000, places, mask).sample
    scale = pipeline.vae_scale_factor
    found: Tensor = pipeline._unpack_latents(predicted, height * scale, width * scale)
    return found[:, :, 0]


def longcat_image(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    text, text_ids = pipeline.encode_prompt(list(prompts))
    batch, channels, height, width = noisy.shape
    scale = pipeline.vae_scale_factor
    tokens, ids = pipeline.prepare_latents(
        *(batch, channels, height * scale, width * scale, noisy.dtype, noisy.device, None),
        latents=pipeline._pack_latents(noisy, batch, channels, height, width),
    )
    predicted = pipeline.transformer(tokens, text, times / 1000, ids, text_ids).sample
    found: Tensor = pipeline._unpack_latents(predicted, height * scale, width * scale, scale)
    return found


def z_image(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    text, _ = pipeline.encode_prompt(list(prompts), do_classifier_free_guidance=False)
    frames = list(noisy.unsqueeze(2))
    predicted = pipeline.transformer(frames, (1000 - times) / 1000, text).sample
    return -torch.stack(predicted)[:, :, 0]


def ovis_image(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    text, _, text_ids, _ = pipeline.encode_prompt(list(prompts), do_classifier_free_guidance=False)
    return _of_tokens(
        pipeline, noisy, timestep=times / 1000, encoder_hidden_states=text, txt_ids=text_ids
    )


def chroma(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    text, text_ids, mask, *_ = pipeline.encode_prompt(
        prompts, None, do_classifier_free_guidance=False
    )
    tokens = noisy.shape[2] * noisy.shape[3] // 4
    mask = pipeline._prepare_attention_mask(len(prompts), tokens, noisy.dtype, mask)
    return _of_tokens(
        pipeline,
        noisy,
        timestep=times / 1000,
        encoder_hidden_states=text,
        txt_ids=text_ids,
        attention_mask=mask,
    )


def auraflow(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    text, *_ = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)
    predicted: Tensor = pipeline.transformer(
        noisy, encoder_hidden_states=text, timestep=times / 1000
    ).sample
    return predicted


def _of_tokens(pipeline: Any, noisy: Tensor, **given: Any) -> Tensor:
    batch, channels, height, width = noisy.shape
    tokens = pipeline._pack_latents(noisy, batch, channels, height, width)
    ids = pipeline._prepare_latent_image_ids(batch, height // 2, width // 2, "cpu", noisy.dtype)
    predicted = pipeline.transformer(tokens, img_ids=ids, **given).sample
    scale = pipeline.vae_scale_factor
    found: Tensor = pipeline._unpack_latents(predicted, height * scale, width * scale, scale)
    return found


def pixart(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    text, mask, *_ = pipeline.encode_prompt(prompts, False)
    both: Tensor = pipeline.transformer(
        noisy,
        timestep=times,
        encoder_hidden_states=text,
        encoder_attention_mask=mask,
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
    ).sample
    return both.chunk(2, dim=1)[0]


def sana(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    told = signature(pipeline.__call__).parameters["complex_human_instruction"].default
    text, mask, *_ = pipeline.encode_prompt(prompts, False, complex_human_instruction=told)
    predicted: Tensor = pipeline.transformer(
        noisy,
        timestep=times * pipeline.transformer.config.timestep_scale,
        encoder_hidden_states=text.to(noisy.dtype),
        encoder_attention_mask=mask,
    ).sample
    return predicted


def lumina2(pipeline: Any, prompts: Sequence[str], noisy: Tensor, times: Tensor) -> Tensor:
    """Its time runs from noise to the picture, and so does its prediction."""
    text, mask, *_ = pipeline.encode_prompt(prompts, False)
    predicted: Tensor = pipeline.transformer(
        noisy, timestep=1 - times / 1000, encoder_hidden_states=text, encoder_attention_mask=mask
    ).sample
    return -predicted


REFERENCES: Mapping[str, Callable[[Any, Sequence[str], Tensor, Tensor], Tensor]] = {
    "sd3": sd3,
    "flux": flux,
    "flux2": flux2,
    "flux2-klein": flux2,
    "qwen-image": qwen_image,
    "krea2": krea2,
    "longcat-image": longcat_image,
    "z-image": z_image,
    "ovis-image": ovis_image,
    "chroma": chroma,
    "auraflow": auraflow,
    "pixart": pixart,
    "sana": sana,
    "lumina2": lumina2,
}
"""Family -> its pipeline, `B` prompts, noisy latents `[B, C, h, w]` and times `[B]`, 0 to 1000, ->
prediction."""
