"""The U-Net stage: v-prediction on cached latents, with a frozen text encoder."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from basemodel.binding import BindingTest
from basemodel.devices import mixed, pick_device
from basemodel.drawings import Drawings
from basemodel.loop import Stage
from basemodel.muon import Muon, split
from basemodel.noise_schedule import new_scheduler, noisy
from basemodel.pool import LatentPool
from basemodel.rng import keyed
from basemodel.sampling import sample, tile
from basemodel.settings import LATENT_CHANNELS, LATENT_SIDE, Settings, UnetSettings
from basemodel.tokenizer import token_ids
from pseudoword.files import write_whole
from pseudoword.report.picture_output import encode_picture

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


def new_unet(settings: UnetSettings, text_width: int) -> UNet2DConditionModel:
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
        cross_attention_dim=text_width,
        attention_head_dim=settings.heads,  # diffusers reads this as the number of heads
        addition_embed_type="text",
        addition_embed_type_num_heads=settings.heads,
    )


def encode_text(text_encoder: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """Token ids [B,32] -> hidden states [B,32,D] float32, without gradient."""
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


class UnetStage(Stage):
    """Trains the U-Net on the pool's latents; its averaged weights are the result."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        drawings: Drawings,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        settings: Settings,
        first: int,
        deadline: float,
    ) -> None:
        self.unet, self.vae, self.tokenizer = unet, vae, tokenizer
        self.device = next(unet.parameters()).device
        self.average = Average(unet, settings.unet.ema_decay)
        self.text_encoder = text_encoder.to(self.device)
        self.alphas_cumprod = new_scheduler().alphas_cumprod.to(self.device)
        trained = drawings.for_training()
        self.pool = LatentPool(trained, vae, tokenizer, settings)
        self.binding = BindingTest(
            trained.without_extras(),
            vae,
            self.text_encoder,
            tokenizer,
            settings,
            self.alphas_cumprod,
        )
        self.no_caption = token_ids(tokenizer, [""])[0]
        modules: dict[str, torch.nn.Module] = {"unet": unet, "average": self.average}
        optimizer = Muon(*split(unet, ("conv_in", "conv_out")))
        super().__init__("unet", settings, settings.unet.steps, modules, optimizer, deadline, first)

    def loss(self, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean squared error of the predicted v."""
        s, rng = self.settings.unet, keyed(self.settings.seed, UNET, step)
        latents, ids = self.pool.batch(step, rng)
        ids[torch.from_numpy(rng.random(s.batch) < s.caption_dropout)] = self.no_caption
        noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32)).to(self.device)
        t = torch.from_numpy(_timesteps(rng, s.batch)).to(self.device)
        noisy_latents, target = noisy(self.alphas_cumprod, latents.to(self.device), noise, t)
        hidden = encode_text(self.text_encoder, ids.to(self.device))
        with mixed(self.device):
            inputs = noisy_latents.to(memory_format=torch.channels_last)
            prediction = self.unet(inputs, t, hidden).sample
        return F.mse_loss(prediction.float(), target), {}

    def rate(self, step: int) -> float:
        """Constant, and down at the end only, so that a run can be made longer afterwards."""
        s = self.settings.unet
        cooldown_steps = min(s.cooldown_steps, int(s.steps * s.cooldown_share))
        left = (s.steps - step) / max(1, cooldown_steps)
        return s.learning_rate * min(1.0, (step + 1) / s.warmup_steps, max(0.03, left))

    def after(self, done: int) -> dict[str, float]:
        """Average the weights; now and then, draw a grid and measure the cost of wrong words."""
        self.average.update(self.unet, done, self.steps - done)
        if done % self.settings.grid_every == 0:
            self._draw_grid(self.settings.work / "grids" / f"{done:06d}.png")
        if done % self.settings.binding_every == 0:
            return self.binding.gaps(self.average.model)
        return {}

    def _draw_grid(self, path: Path) -> None:
        """Draw GRID_PROMPTS from fixed noise, as one PNG."""
        pictures = sample(
            self.average.model.eval(),
            self.vae,
            self.text_encoder,
            self.tokenizer,
            list(GRID_PROMPTS),
            self.settings.seed,
            self.settings.sampler_steps,
        )
        write_whole(path, encode_picture(tile(pictures, 8), "PNG"))


def build_unet(
    drawings: Drawings,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    settings: Settings,
    deadline: float,
    start: UNet2DConditionModel | None = None,
    first: int = 0,
) -> tuple[UNet2DConditionModel, bool]:
    """The U-Net with averaged weights, and False if the deadline came before it was trained.

    Args:
        drawings: of which those for training are used.
        vae: encodes the pictures.
        text_encoder: encodes the captions.
        tokenizer: of the captions.
        settings: of the recipe.
        deadline: time.time() after which training stops.
        start: a U-Net of an earlier bundle to train further; otherwise its weights are random.
        first: the number of steps that `start` was trained for.
    """
    device = pick_device()
    torch.manual_seed(settings.seed)
    unet = (
        (start or new_unet(settings.unet, text_encoder.config.hidden_size))
        .to(device)
        .to(memory_format=torch.channels_last)
    )
    if device.type == "cpu":  # where the backward pass of fused attention is slower
        unet.set_attn_processor(AttnProcessor())
    stage = UnetStage(unet, drawings, vae, text_encoder, tokenizer, settings, first, deadline)
    done = stage.train()
    return stage.average.model.eval(), done
