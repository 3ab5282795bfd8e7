"""Pictures -> latent moments, encoded once and cached on disk.

The cache key covers the picture's bytes, how it was cropped, and the VAE. So a changed picture, a
changed crop or another model never gets a stale latent. Each cache file has a checksum; a damaged
one is encoded again.
"""

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
from pseudoword.progress import Note
from pseudoword.text import reason

LARGEST_NBYTES = 2**30
"""A larger cache file is not read."""


@dataclass(frozen=True)
class EncodedPicture:
    """A training picture as training reads it: V views of one shape."""

    path: Path
    """the picture's file, for messages; it is not read again"""
    moments: Moments
    """[V, C, h, w] float32 on the model's device"""
    weight: Tensor
    """[V, 1, h, w] loss weight of each position; the mean is one"""
    micro_conditioning: MicroConditioning
    """[V, 6] how the views were cropped"""
    filewords: str
    """the picture's own caption"""
    identity: str
    """`Example.identity`"""
    repeats: int = 1
    """how often it is used beside others"""


def encode(
    family: Family,
    examples: Iterable[Example],
    unmasked: float = 0.0,
    note: Note | None = None,
) -> Iterator[EncodedPicture]:
    """Encode all views of each picture, or read them from the cache, one picture at a time.

    Args:
        family: the model with the VAE.
        examples: the pictures.
        unmasked: the loss weight of parts that their masks leave out.
        note: told at the end if the cache could not be written.

    Raises:
        BaseModelError: the VAE's output is not finite.
    """
    vae = family.vae_digest()
    remove_abandoned(_cache())
    unwritten: list[StorageError] = []
    for example in examples:
        yield _encode(family, example, vae, unmasked, unwritten)
    if unwritten and note:
        why = getattr(unwritten[0].__cause__, "strerror", None) or reason(unwritten[0])
        note(
            f"nothing can be kept in {_cache()} ({why}), so the next run encodes these pictures "
            "again. The environment variable PSEUDOWORD_CACHE names another folder."
        )


def _encode(
    family: Family, example: Example, vae: str, unmasked: float, unwritten: list[StorageError]
) -> EncodedPicture:
    moments = [_moments(family, example, view, vae, unwritten) for view in example.views]
    mean = torch.cat([each.mean for each in moments])
    std = torch.cat([each.std for each in moments])
    h, w = mean.shape[-2:]
    return EncodedPicture(
        example.path,
        Moments(mean.to(family.device), std.to(family.device)),
        torch.stack([masks.weight(view.mask, h, w, unmasked) for view in example.views]),
        torch.tensor([view.micro_conditioning for view in example.views]),
        example.filewords,
        example.identity,
    )


def _moments(
    family: Family, example: Example, view: View, vae: str, unwritten: list[StorageError]
) -> Moments:
    """The moments of one view `[1, C, h, w]` on the CPU, from the cache or from the VAE.

    Why they could not be written to the cache is added to `unwritten`.
    """
    key = hashlib.sha256(f"{example.digest} {view.transform} {vae}".encode()).hexdigest()
    path = _cache() / f"{key}.latents"
    cached = _read_cached(path, view)
    if cached is not None:
        return cached
    moments = family.encode_pictures(view.pixels.unsqueeze(0))
    moments = Moments(moments.mean.cpu(), moments.std.cpu())
    if not _is_valid(moments, view):
        raise BaseModelError(
            f"{family.source.name}: the output of its VAE for {example.path} is not finite. "
            "Try --dtype float32, or another base model."
        )
    data = save_tensors({"mean": moments.mean, "std": moments.std})
    try:
        write_whole(path, with_checksum(data))
    except StorageError as error:  # without a cache, training is only slower
        unwritten.append(error)
    return moments


def _read_cached(path: Path, view: View) -> Moments | None:
    """The cached moments; None if there are none, or the file is damaged."""
    try:
        data = without_checksum(read_regular(path, LARGEST_NBYTES, StorageError))
        tensors = load_tensors(data) if data is not None else {}
        moments = Moments(tensors["mean"], tensors["std"])
        return moments if _is_valid(moments, view) else None
    except Exception:  # no such file, or not one of ours
        return None


def _is_valid(moments: Moments, view: View) -> bool:
    """Whether the moments are finite and fit the shape of the view."""
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
