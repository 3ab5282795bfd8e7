"""Pictures -> latent moments, encoded once and kept on disk.

The cache's key covers the picture's bytes, the transform and the VAE, so a changed picture, a
changed crop or another model never meets a stale latent.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pseudoword import masks
from pseudoword.errors import StorageError
from pseudoword.examples import Example, View
from pseudoword.families.base import Family, Framing, Moments
from pseudoword.files import cache_folder, write_whole


@dataclass(frozen=True)
class Encoded:
    """A training picture as the training reads it: V views of one shape."""

    path: Path
    """where it was read from; it is not read again"""
    moments: Moments
    """[V, C, h, w] float32 on the model's device"""
    weight: Tensor
    """[V, 1, h, w] how much each position counts, one on average"""
    framing: Framing
    """[V, 6] how the views were cut"""
    filewords: str
    """the picture's own caption"""
    identity: str
    """`Example.identity`"""


def encode(family: Family, examples: Iterable[Example], unmasked: float = 0.0) -> Iterator[Encoded]:
    """All views of each picture, through the VAE or out of the cache, one picture at a time.

    Args:
        family: the model whose VAE encodes what the cache does not hold.
        examples: the pictures.
        unmasked: how much counts what their masks leave out.
    """
    vae = family.vae_digest()
    for example in examples:
        yield _encode(family, example, vae, unmasked)


def _encode(family: Family, example: Example, vae: str, unmasked: float) -> Encoded:
    found = [_moments(family, example.digest, view, vae) for view in example.views]
    mean = torch.cat([moments.mean for moments in found])
    std = torch.cat([moments.std for moments in found])
    h, w = mean.shape[-2:]
    return Encoded(
        example.path,
        Moments(mean.to(family.device), std.to(family.device)),
        torch.stack([masks.weight(view.mask, h, w, unmasked) for view in example.views]),
        torch.tensor([view.framing for view in example.views]),
        example.filewords,
        example.identity,
    )


def _moments(family: Family, digest: str, view: View, vae: str) -> Moments:
    key = hashlib.sha256(f"{digest} {view.transform} {vae}".encode()).hexdigest()
    path = cache_folder() / "latents" / f"{key}.safetensors"
    try:
        kept = load_tensors(path.read_bytes())
        return Moments(kept["mean"], kept["std"])
    except Exception:  # absent or damaged: encode again, and keep that
        pass
    moments = family.encode_pictures(view.pixels.unsqueeze(0))
    moments = Moments(moments.mean.cpu(), moments.std.cpu())
    with contextlib.suppress(StorageError):  # a cache that cannot be written only costs time
        write_whole(path, save_tensors({"mean": moments.mean, "std": moments.std}))
    return moments
