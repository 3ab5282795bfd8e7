"""Which base model is loaded, and where it computes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from pseudoword.config import Quantize


@dataclass(frozen=True)
class BaseSource:
    """Where a base model comes from: the user's name for it, and what diffusers can load."""

    name: str
    path: str
    """a folder in diffusers' layout, a hub id, or a single-file checkpoint"""
    revision: str | None = None
    """branch, tag or commit on the hub, of `layout` if there is one"""
    variant: str | None = None
    """weights with this in their file name, such as `fp16`"""
    layout: str | None = None
    """for a single file: the folder or the hub id with its configs and tokenizers"""
    file_part: str | None = None
    """the only part that is read from a single file; the others are in `layout`. None: all are"""
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    """what to change in the scheduler's config, such as `prediction_type`"""
    clip_skip: int = 1
    """which layer of a CLIP is read, counted from the last"""


@dataclass(frozen=True)
class Placement:
    """Where a model computes, and in which precision."""

    device: torch.device
    dtype: torch.dtype
    quantize: Quantize = "none"
    checkpointing: bool = False
    """compute activations again in the backward pass instead of keeping them"""
    offload: bool = False
    """keep each part in main memory while it is not needed for drawing"""
    offload_blocks: bool = False
    """keep each block in main memory while it is not at work; its activations are computed again"""
