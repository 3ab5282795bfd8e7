"""Pictures from the base model, as the diffusers pipeline draws them, but for a whole batch."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from basemodel.devices import mixed
from basemodel.noise_schedule import new_scheduler
from basemodel.pixels import to_pictures
from basemodel.rng import keyed
from basemodel.settings import GUIDANCE, Guidance
from basemodel.tokenizer import token_ids


@torch.no_grad()
def sample(
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    prompts: list[str],
    seed: int,
    steps: int,
    guidance: Guidance = GUIDANCE,
) -> np.ndarray:
    """One picture for each prompt, [B,64,64,3] uint8."""
    device = next(unet.parameters()).device
    ids = token_ids(tokenizer, [""] * len(prompts) + prompts).to(device)
    hidden = text_encoder(ids).last_hidden_state
    config = unet.config
    shape = (len(prompts), config.in_channels, config.sample_size, config.sample_size)
    latents = torch.from_numpy(keyed(seed).standard_normal(shape, np.float32)).to(device)
    scheduler = new_scheduler()
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        with mixed(device):
            prediction = unet(torch.cat([latents, latents]), t.to(device), hidden).sample.float()
        unconditional, conditional = prediction.chunk(2)
        guided = unconditional + guidance.scale * (conditional - unconditional)
        guided = rescale_noise_cfg(guided, conditional, guidance.rescale)
        latents = scheduler.step(guided, t, latents).prev_sample
    with mixed(device):
        pixels = vae.decode(latents / vae.config.scaling_factor).sample.float()
    return to_pictures(pixels)


def tile(pictures: np.ndarray, columns: int, scale: int = 2) -> Image.Image:
    """Pictures [B,H,W,3] in rows of `columns`, enlarged; an incomplete last row is left out."""
    rows = [
        np.concatenate(list(pictures[i : i + columns]), 1)
        for i in range(0, len(pictures) // columns * columns, columns)
    ]
    sheet = Image.fromarray(np.concatenate(rows, 0))
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)
