"""The pool the denoiser learns from: composed pictures, encoded once and used a few times.

Shards are made in order, each from its own random key. At any time the pool is a sliding window
over the newest shards, so that the denoiser keeps seeing new compositions while encoding costs
next to nothing per step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from basemodel.captions import caption
from basemodel.contrastive import to_pixels
from basemodel.loop import keyed
from basemodel.painter import Painter
from basemodel.pictures import Artwork
from basemodel.precision import mixed
from basemodel.scenes import SceneMaker
from basemodel.settings import LATENT_CHANNELS, LATENT_SIDE, TEXT_TOKENS, Settings
from basemodel.tokens import token_ids

POOL = 5
AT_ONCE = 256
"""Pictures that are painted and encoded together."""
CAPTIONS_EACH = 3
"""Different wordings kept for each picture."""


@dataclass(frozen=True)
class Shard:
    """latents [N,16,8,8] float16, ids [N,3,32] int16."""

    latents: torch.Tensor
    ids: torch.Tensor


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """[B,3,64,64] -> the latents' means, [B,16,8,8] float32 on the CPU."""
    device = next(vae.parameters()).device
    with mixed(device):
        means: torch.Tensor = vae.encode(pixels.to(device)).latent_dist.mean.float().cpu()
    return means


class Pool:
    """Serves batches of (latents, ids) for a step; stateless but for its cache of shards."""

    def __init__(
        self, art: Artwork, vae: AutoencoderKL, tokenizer: CLIPTokenizer, settings: Settings
    ) -> None:
        self.art, self.vae, self.tokenizer, self.settings = art, vae, tokenizer, settings
        self.maker, self.painter = SceneMaker(art), Painter(art, settings.painters)
        self.shards: dict[int, Shard] = {}
        unet = settings.unet
        self.steps_each = int(unet.shard_size * unet.uses_per_picture / unet.batch)

    def make(self, number: int) -> Shard:
        """Compose, caption and encode one shard."""
        size = self.settings.unet.shard_size
        rng = keyed(self.settings.seed, POOL, number)
        scenes = [self.maker.draw(rng) for _ in range(size)]
        words = [caption(s, self.art, rng) for s in scenes for _ in range(CAPTIONS_EACH)]
        latents = torch.empty(size, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE, dtype=torch.float16)
        for start in range(0, size, AT_ONCE):
            pixels = to_pixels(self.painter(scenes[start : start + AT_ONCE]))
            latents[start : start + len(pixels)] = encode(self.vae, pixels).half()
        ids = token_ids(self.tokenizer, words).to(torch.int16)
        return Shard(latents, ids.view(size, CAPTIONS_EACH, TEXT_TOKENS))

    def window(self, step: int) -> range:
        """The shards alive at a step: two at first, then up to `pool_shards`."""
        newest = step // self.steps_each + 2
        return range(max(0, newest - self.settings.unet.pool_shards), newest)

    def batch(self, step: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """latents [B,16,8,8] float32 and ids [B,32] int64 for a step."""
        window = self.window(step)
        for number in list(self.shards):
            if number not in window:
                del self.shards[number]
        for number in window:
            if number not in self.shards:
                self.shards[number] = self.make(number)
        size, count = self.settings.unet.shard_size, self.settings.unet.batch
        places = rng.integers(len(window) * size, size=count)
        wording = rng.integers(CAPTIONS_EACH, size=count)
        chosen = [(self.shards[window[p // size]], p % size) for p in places.tolist()]
        latents = torch.stack([shard.latents[row] for shard, row in chosen]).float()
        ids = [shard.ids[row, w] for (shard, row), w in zip(chosen, wording.tolist(), strict=True)]
        return latents, torch.stack(ids).long()
