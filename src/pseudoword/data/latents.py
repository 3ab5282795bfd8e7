"""Pictures -> latent moments, encoded once and kept on disk.

The cache's key covers the picture's bytes, the transform and the VAE, so a changed picture, a
changed crop or another model never meets a stale latent. Each file carries a checksum, and one that
is damaged is made again.
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

from pseudoword.data import masks
from pseudoword.data.examples import Example, View
from pseudoword.errors import BaseModelError, StorageError
from pseudoword.files import (
    cache_folder,
    read_regular,
    remove_abandoned,
    with_checksum,
    without_checksum,
    write_whole,
)
from pseudoword.models.family import Family, MicroConditioning, Moments

LARGEST_NBYTES = 2**30
"""No picture's latents are larger."""


@dataclass(frozen=True)
class EncodedPicture:
    """A training picture as the training reads it: V views of one shape."""

    path: Path
    """where it was read from; it is not read again"""
    moments: Moments
    """[V, C, h, w] float32 on the model's device"""
    weight: Tensor
    """[V, 1, h, w] how much each position counts, one on average"""
    micro_conditioning: MicroConditioning
    """[V, 6] how the views were cut"""
    filewords: str
    """the picture's own caption"""
    identity: str
    """`Example.identity`"""


def encode(
    family: Family, examples: Iterable[Example], unmasked: float = 0.0
) -> Iterator[EncodedPicture]:
    """All views of each picture, through the VAE or out of the cache, one picture at a time.

    Args:
        family: the model whose VAE encodes what the cache does not hold.
        examples: the pictures.
        unmasked: how much counts what their masks leave out.

    Raises:
        BaseModelError: the VAE makes numbers of a picture that are not finite.
    """
    vae = family.vae_digest()
    remove_abandoned(_cache())
    for example in examples:
        yield _encode(family, example, vae, unmasked)


def _encode(family: Family, example: Example, vae: str, unmasked: float) -> EncodedPicture:
    found = [_moments(family, example, view, vae) for view in example.views]
    mean = torch.cat([moments.mean for moments in found])
    std = torch.cat([moments.std for moments in found])
    h, w = mean.shape[-2:]
    return EncodedPicture(
        example.path,
        Moments(mean.to(family.device), std.to(family.device)),
        torch.stack([masks.weight(view.mask, h, w, unmasked) for view in example.views]),
        torch.tensor([view.micro_conditioning for view in example.views]),
        example.filewords,
        example.identity,
    )


def _moments(family: Family, example: Example, view: View, vae: str) -> Moments:
    key = hashlib.sha256(f"{example.digest} {view.transform} {vae}".encode()).hexdigest()
    path = _cache() / f"{key}.latents"
    kept = _read_cached(path, view)
    if kept is not None:
        return kept
    moments = family.encode_pictures(view.pixels.unsqueeze(0))
    moments = Moments(moments.mean.cpu(), moments.std.cpu())
    if not _is_valid(moments, view):
        raise BaseModelError(
            f"{family.source.name}: its VAE makes numbers of {example.path} that are not finite. "
            "Try --dtype float32, or another base model."
        )
    data = save_tensors({"mean": moments.mean, "std": moments.std})
    with contextlib.suppress(StorageError):  # a cache that cannot be written only costs time
        write_whole(path, with_checksum(data))
    return moments


def _read_cached(path: Path, view: View) -> Moments | None:
    """What the cache holds, if that is just what was put there."""
    try:
        data = without_checksum(read_regular(path, LARGEST_NBYTES, StorageError))
        tensors = load_tensors(data) if data is not None else {}
        moments = Moments(tensors["mean"], tensors["std"])
        return moments if _is_valid(moments, view) else None
    except Exception:  # absent, or something else
        return None


def _is_valid(moments: Moments, view: View) -> bool:
    """Whether they are moments, and can be of a picture of this shape."""
    mean, std = moments.mean, moments.std
    _, height, width = view.pixels.shape
    return (
        mean.dim() == 4
        and mean.shape == std.shape
        and len(mean) == 1
        and mean.shape[-2] * width == mean.shape[-1] * height
        and bool(mean.isfinite().all() and std.isfinite().all() and (std >= 0).all())
    )


def _cache() -> Path:
    return cache_folder() / "latents"
