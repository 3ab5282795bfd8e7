"""The U-Net stage: v-prediction with zero terminal SNR on cached latents, frozen text encoder."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from basemodel.loop import Stage, keyed, pick_device, train
from basemodel.muon import Muon, split
from basemodel.pictures import Artwork
from basemodel.pool import Pool
from basemodel.precision import mixed
from basemodel.probes import Probes, draw_grid
from basemodel.settings import LATENT_CHANNELS, LATENT_SIDE, TEXT_WIDTH, Settings, UnetSettings
from basemodel.tokens import token_ids

UNET = 6
"""First part of the random key."""
LATENESS = 0.6
"""Timesteps are 1000 u^LATENESS for uniform u; 1 would draw all alike."""


def new_scheduler() -> DDIMScheduler:
    """The noise process. At its last timestep nothing of the picture is left (zero terminal SNR),
    so a flat background of any brightness can be drawn; that needs v-prediction and sampling that
    truly begins at the last timestep (trailing)."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=0,
    )


def new_unet(settings: UnetSettings) -> UNet2DConditionModel:
    """Text reaches it twice: by cross-attention at every level, and pooled into the time
    embedding, without which words bind to things many times more slowly."""
    levels = len(settings.channels)
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=settings.channels,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=settings.heads,  # diffusers reads this as the number of heads
        addition_embed_type="text",
        addition_embed_type_num_heads=settings.heads,
    )


def text_states(encoder: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """ids [B,32] -> hidden states [B,32,256] float32, without gradient."""
    with torch.no_grad(), mixed(ids.device):
        states: torch.Tensor = encoder(ids).last_hidden_state.float()
    return states


class Average(torch.nn.Module):
    """An exponential moving average of a model's weights, quicker at the start and at the end.

    Once the rate has come down the last weights are the better ones (at step 24,000 a wrong style
    cost 0.141 with them, and 0.138 with an average of the last thousand steps'), so it ends there.
    """

    def __init__(self, model: UNet2DConditionModel, decay: float) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: UNet2DConditionModel, step: int, left: int) -> None:
        """Move a little towards `model`, as it is after `step` steps, with so many `left`."""
        decay = min(self.decay, (1 + step) / (10 + step), left / (5 + left))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)


def noisy(
    alphas: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(noisy latents, v target), both [B,16,8,8]; alphas [1000] is the cumulative product."""
    keep = alphas[t].sqrt()[:, None, None, None]
    spoil = (1 - alphas[t]).sqrt()[:, None, None, None]
    return keep * latents + spoil * noise, keep * noise - spoil * latents


def _timesteps(rng: np.random.Generator, count: int) -> np.ndarray:
    """Stratified, so that the loss is steadier, and more of the late ones: what a caption says
    is settled while there is much noise (at step 7,600 a wrong style cost 0.137 around timestep
    910, and 0.002 around 140).
    """
    slots = (np.arange(count) + rng.random(count)) / count
    chosen: np.ndarray = np.minimum((slots**LATENESS * 1000).astype(np.int64), 999)
    return chosen


def build_unet(
    art: Artwork,
    vae: AutoencoderKL,
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    settings: Settings,
    start: UNet2DConditionModel | None = None,
    first: int = 0,
    deadline: float = float("inf"),
) -> tuple[UNet2DConditionModel, bool]:
    """Train (or go on, or load) the denoiser; returns its averaged weights, and False when cut
    short. `start` gives first weights from an earlier bundle, trained for `first` steps."""
    device, s = pick_device(), settings.unet
    torch.manual_seed(settings.seed)
    unet = (start or new_unet(s)).to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":  # the backward pass of torch's fused attention is the slower one there
        unet.set_attn_processor(AttnProcessor())
    average = Average(unet, s.ema_decay)
    encoder = encoder.to(device)
    alphas = new_scheduler().alphas_cumprod.to(device)
    trained = art.trained()
    pool = Pool(trained, vae, tokenizer, settings)
    probes = Probes(trained.named(), vae, encoder, tokenizer, settings, alphas)
    empty = token_ids(tokenizer, [""])[0]
    optimizer = Muon(*split(unet, ("conv_in", "conv_out")))

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = keyed(settings.seed, UNET, step)
        latents, ids = pool.batch(step, rng)
        ids[torch.from_numpy(rng.random(s.batch) < s.caption_dropout)] = empty
        noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32)).to(device)
        t = torch.from_numpy(_timesteps(rng, s.batch)).to(device)
        given, wanted = noisy(alphas, latents.to(device), noise, t)
        states = text_states(encoder, ids.to(device))
        with mixed(device):
            out = unet(given.to(memory_format=torch.channels_last), t, states).sample
        return F.mse_loss(out.float(), wanted), {}

    def after(step: int) -> dict[str, float] | None:
        average.update(unet, step, s.steps - step)
        found: dict[str, float] = {}
        if step % settings.probe_every == 0:
            found |= probes.gaps(average.model)
        if step % settings.grid_every == 0:
            draw_grid(
                average.model,
                vae,
                encoder,
                tokenizer,
                new_scheduler(),
                settings.work / "grids" / f"{step:06d}.png",
                settings.seed,
            )
        return found or None

    def rate(step: int) -> float:
        # Flat, then down at the end: a run can be lengthened without regret.
        left = (s.steps - step) / max(1, min(s.cooldown_steps, int(s.steps * s.cooldown_share)))
        return s.learning_rate * min(1.0, (step + 1) / s.warmup_steps, max(0.03, left))

    modules: dict[str, Any] = {"unet": unet, "average": average}
    stage = Stage(
        "unet",
        settings.work,
        modules,
        optimizer,
        s.steps,
        loss,
        rate,
        after,
        settings.save_every_seconds,
        settings.log_every,
        first=first,
        deadline=deadline,
    )
    done = train(stage)
    return average.model.eval(), done
