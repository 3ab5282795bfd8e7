"""The latents that the U-Net is trained on: pictures are encoded once and used a few times.

Shards of pictures are made in order, each from its own random key. The pool is a sliding window
over the newest shards. So the U-Net sees new pictures all the time, and encoding costs little per
step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from basemodel.captions import caption
from basemodel.devices import mixed
from basemodel.drawings import Drawings
from basemodel.painter import Painter
from basemodel.pixels import to_pixels
from basemodel.rng import keyed
from basemodel.scenes import SceneMaker
from basemodel.settings import LATENT_CHANNELS, LATENT_SIDE, TEXT_TOKENS, Settings
from basemodel.tokenizer import token_ids

POOL = 5
ENCODE_BATCH = 256
"""Pictures that are painted and encoded together."""
CAPTIONS_EACH = 3
"""Captions for each picture, in different wordings."""


@dataclass(frozen=True)
class Shard:
    """Latents [N,16,8,8] float16, and token ids [N,3,32] int16."""

    latents: torch.Tensor
    ids: torch.Tensor


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """Pixels [B,3,64,64] -> means of the latents [B,16,8,8], float32 on the CPU."""
    device = next(vae.parameters()).device
    with mixed(device):
        means: torch.Tensor = vae.encode(pixels.to(device)).latent_dist.mean.float().cpu()
    return means


class LatentPool:
    """Batches of latents and token ids. A batch depends on its step and random numbers alone."""

    def __init__(
        self, drawings: Drawings, vae: AutoencoderKL, tokenizer: CLIPTokenizer, settings: Settings
    ) -> None:
        self.vae, self.tokenizer, self.settings = vae, tokenizer, settings
        self.maker, self.painter = SceneMaker(drawings), Painter(drawings, settings.painters)
        self.shards: dict[int, Shard] = {}
        unet = settings.unet
        self.steps_each = int(unet.shard_size * unet.uses_per_picture / unet.batch)

    def make_shard(self, number: int) -> Shard:
        """Compose, caption and encode one shard."""
        size = self.settings.unet.shard_size
        rng = keyed(self.settings.seed, POOL, number)
        scenes = [self.maker.scene(rng) for _ in range(size)]
        drawings = self.maker.drawings
        captions = [caption(s, drawings, rng) for s in scenes for _ in range(CAPTIONS_EACH)]
        latents = torch.empty(size, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE, dtype=torch.float16)
        for start in range(0, size, ENCODE_BATCH):
            pixels = to_pixels(self.painter(scenes[start : start + ENCODE_BATCH]))
            latents[start : start + len(pixels)] = encode(self.vae, pixels).half()
        ids = token_ids(self.tokenizer, captions).to(torch.int16)
        return Shard(latents, ids.view(size, CAPTIONS_EACH, TEXT_TOKENS))

    def window(self, step: int) -> range:
        """The shards in use at a step: two at first, later up to `pool_shards`."""
        newest = step // self.steps_each + 2
        return range(max(0, newest - self.settings.unet.pool_shards), newest)

    def batch(self, step: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents [B,16,8,8] float32 and token ids [B,32] int64 for a step."""
        window = self.window(step)
        for number in list(self.shards):
            if number not in window:
                del self.shards[number]
        for number in window:
            if number not in self.shards:
                self.shards[number] = self.make_shard(number)
        size, count = self.settings.unet.shard_size, self.settings.unet.batch
        places = rng.integers(len(window) * size, size=count)
        wording = rng.integers(CAPTIONS_EACH, size=count)
        chosen = [(self.shards[window[p // size]], p % size) for p in places.tolist()]
        latents = torch.stack([shard.latents[row] for shard, row in chosen]).float()
        ids = [shard.ids[row, w] for (shard, row), w in zip(chosen, wording.tolist(), strict=True)]
        return latents, torch.stack(ids).long()
