"""Pictures as bytes, and as tensors that models take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def to_pixels(pictures: np.ndarray | Sequence[np.ndarray]) -> torch.Tensor:
    """uint8 [B,H,W,3] -> pixels [B,3,H,W] float32 in [-1,1]."""
    return torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(pixels: torch.Tensor) -> np.ndarray:
    """Pixels [B,3,H,W] in [-1,1] -> uint8 [B,H,W,3]; values outside are cut off."""
    rounded = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte()
    pictures: np.ndarray = rounded.cpu().numpy().transpose(0, 2, 3, 1)
    return pictures
