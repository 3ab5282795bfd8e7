"""The U-Net stage: v-prediction on cached latents, with a frozen text encoder."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from basemodel.binding import BindingTest
from basemodel.checkpoint import write_whole
from basemodel.devices import mixed, pick_device
from basemodel.drawings import Drawings
from basemodel.loop import Stage, train
from basemodel.muon import Muon, split
from basemodel.noise_schedule import new_scheduler, noisy
from basemodel.pool import LatentPool
from basemodel.rng import keyed
from basemodel.sampling import sample, tile
from basemodel.settings import LATENT_CHANNELS, LATENT_SIDE, TEXT_WIDTH, Settings, UnetSettings
from basemodel.tokenizer import token_ids

UNET = 6
"""First part of the random key."""
LATENESS = 0.6
"""Timesteps are 1000 u^LATENESS with uniform u; with 1 they would be uniform."""
GRID_PROMPTS = (
    "a photo of a cat in noto style on a blue background",
    "a twemoji of an apple on a white background",
    "a fluent fox on a green background",
    "a house in flat style on a yellow background",
    "a blob rose on a black background",
    "a firefox banana on a purple background",
    "a twemoji of a car on a red background",
    "a guitar",
    "a photo of a robot in fluent style on an orange background",
    "a noto pizza on a teal background",
    "a drawing of a tree in the style of flat on a pink background",
    "a twemoji of a dog and a heart on a white background",
    "three noto bananas on a gray background",
    "a flat bird on the left on a blue background",
    "a fluent helicopter on a white and red checked background",
    "a photo of an animal",
)
"""Drawn now and then while the U-Net is trained, to look at."""


def new_unet(settings: UnetSettings) -> UNet2DConditionModel:
    """A small U-Net with random weights.

    Text reaches it twice: by cross-attention at every level, and pooled into the time embedding.
    Without the pooled text, words bind to things many times more slowly.
    """
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


def encode_text(text_encoder: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """Token ids [B,32] -> hidden states [B,32,256] float32, without gradient."""
    with torch.no_grad(), mixed(ids.device):
        hidden: torch.Tensor = text_encoder(ids).last_hidden_state.float()
    return hidden


class Average(torch.nn.Module):
    """An exponential moving average of a model's weights, faster at the start and at the end.

    When the learning rate has come down, the last weights are better than an average of the last
    thousand steps (at step 24,000 a wrong style cost 0.141 with them, and 0.138 with the average).
    Therefore the average ends at the last weights.
    """

    def __init__(self, model: UNet2DConditionModel, decay: float) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: UNet2DConditionModel, step: int, left: int) -> None:
        """Move towards `model`, which has finished `step` steps and has `left` steps to go."""
        decay = min(self.decay, (1 + step) / (10 + step), left / (5 + left))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)


def _timesteps(rng: np.random.Generator, count: int) -> np.ndarray:
    """Timesteps [count], stratified for a steadier loss, and more late ones than early ones.

    A caption matters while there is much noise (at step 7,600 a wrong style cost 0.137 around
    timestep 910, and 0.002 around timestep 140).
    """
    u = (np.arange(count) + rng.random(count)) / count
    timesteps: np.ndarray = np.minimum((u**LATENESS * 1000).astype(np.int64), 999)
    return timesteps


def build_unet(
    drawings: Drawings,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    settings: Settings,
    start: UNet2DConditionModel | None = None,
    first: int = 0,
    deadline: float = float("inf"),
) -> tuple[UNet2DConditionModel, bool]:
    """The U-Net with averaged weights, and False if the deadline came before it was trained.

    Args:
        drawings: of which those for training are used.
        vae: encodes the pictures.
        text_encoder: encodes the captions.
        tokenizer: of the captions.
        settings: of the recipe.
        start: a U-Net of an earlier bundle to train further; otherwise its weights are random.
        first: the number of steps that `start` was trained for.
        deadline: time.time() after which training stops.
    """
    device, s = pick_device(), settings.unet
    torch.manual_seed(settings.seed)
    unet = (start or new_unet(s)).to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":  # where the backward pass of torch's fused attention is slower
        unet.set_attn_processor(AttnProcessor())
    average = Average(unet, s.ema_decay)
    text_encoder = text_encoder.to(device)
    alphas_cumprod = new_scheduler().alphas_cumprod.to(device)
    trained = drawings.for_training()
    pool = LatentPool(trained, vae, tokenizer, settings)
    named = trained.without_extras()
    binding = BindingTest(named, vae, text_encoder, tokenizer, settings, alphas_cumprod)
    empty = token_ids(tokenizer, [""])[0]
    optimizer = Muon(*split(unet, ("conv_in", "conv_out")))

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = keyed(settings.seed, UNET, step)
        latents, ids = pool.batch(step, rng)
        ids[torch.from_numpy(rng.random(s.batch) < s.caption_dropout)] = empty
        noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32)).to(device)
        t = torch.from_numpy(_timesteps(rng, s.batch)).to(device)
        noisy_latents, target = noisy(alphas_cumprod, latents.to(device), noise, t)
        hidden = encode_text(text_encoder, ids.to(device))
        with mixed(device):
            inputs = noisy_latents.to(memory_format=torch.channels_last)
            prediction = unet(inputs, t, hidden).sample
        return F.mse_loss(prediction.float(), target), {}

    def after(step: int) -> dict[str, float] | None:
        average.update(unet, step, s.steps - step)
        if step % settings.grid_every == 0:
            path = settings.work / "grids" / f"{step:06d}.png"
            _draw_grid(average.model, vae, text_encoder, tokenizer, path, settings.seed)
        if step % settings.binding_every == 0:
            return binding.gaps(average.model)
        return None

    def rate(step: int) -> float:
        # Constant, and down at the end only, so that a run can be made longer afterwards.
        cooldown_steps = min(s.cooldown_steps, int(s.steps * s.cooldown_share))
        left = (s.steps - step) / max(1, cooldown_steps)
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


def _draw_grid(
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    path: Path,
    seed: int,
) -> None:
    """Draw GRID_PROMPTS from fixed noise, as one PNG."""
    unet.eval()
    pictures = sample(unet, vae, text_encoder, tokenizer, list(GRID_PROMPTS), seed)
    unet.train()
    write_whole(path, lambda file: tile(pictures, 8).save(file, "PNG"))
