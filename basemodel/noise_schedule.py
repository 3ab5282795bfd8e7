"""The noise schedule: v-prediction with zero terminal SNR (Lin et al. 2023, arXiv 2305.08891)."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler


def new_scheduler() -> DDIMScheduler:
    """The base model's scheduler.

    At the last timestep nothing of the picture is left (zero terminal SNR). So a flat background of
    any brightness can be drawn. This needs v-prediction, and sampling that begins at the very last
    timestep (trailing).
    """
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


def noisy(
    alphas_cumprod: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy latents and the v-prediction target, both [B,C,h,w].

    Args:
        alphas_cumprod: [T], the cumulative product of the schedule's alphas.
        latents: [B,C,h,w], without noise.
        noise: [B,C,h,w], of unit variance.
        t: [B], timesteps.
    """
    signal = alphas_cumprod[t].sqrt()[:, None, None, None]
    sigma = (1 - alphas_cumprod[t]).sqrt()[:, None, None, None]
    return signal * latents + sigma * noise, signal * noise - sigma * latents
