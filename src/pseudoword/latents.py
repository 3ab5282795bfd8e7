"""Pictures -> latent moments, encoded once and kept on disk.

The cache's key covers the picture's bytes, the transform and the VAE, so a changed picture, a
changed crop or another model never meets a stale latent.
"""

import contextlib
import hashlib
from collections.abc import Callable, Sequence

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from pseudoword import images
from pseudoword.errors import StorageError
from pseudoword.families.base import Family, Moments
from pseudoword.files import cache_folder, write_whole
from pseudoword.images import Example


def encode(
    family: Family, examples: Sequence[Example], tick: Callable[[int, int], None]
) -> Moments:
    """Moments of all `examples`, `[N, C, h, w]` float32 on the model's device.

    Args:
        family: the model whose VAE encodes what the cache does not hold.
        examples: pictures of one size.
        tick: called with (done, total) after each picture.
    """
    vae = family.vae_digest()
    means, stds = [], []
    for done, example in enumerate(examples, 1):
        moments = _encode(family, example, vae)
        means.append(moments.mean)
        stds.append(moments.std)
        tick(done, len(examples))
    return Moments(torch.cat(means).to(family.device), torch.cat(stds).to(family.device))


def _encode(family: Family, example: Example, vae: str) -> Moments:
    side = example.pixels.shape[-1]
    key = hashlib.sha256(f"{example.digest} {images.TRANSFORM} {side} {vae}".encode()).hexdigest()
    path = cache_folder() / "latents" / f"{key}.safetensors"
    try:
        kept = load_tensors(path.read_bytes())
        return Moments(kept["mean"], kept["std"])
    except Exception:  # absent or damaged: encode again, and keep that
        pass
    moments = family.encode_pictures(example.pixels.unsqueeze(0))
    moments = Moments(moments.mean.cpu(), moments.std.cpu())
    with contextlib.suppress(StorageError):  # a cache that cannot be written only costs time
        write_whole(path, save_tensors({"mean": moments.mean, "std": moments.std}))
    return moments
