"""Where the recipe calculates, and in which precision."""

from __future__ import annotations

import torch

from pseudoword.models.loading.devices import device as device_named


def pick_device() -> torch.device:
    """A CUDA GPU if there is one, otherwise the CPU; PSEUDOWORD_DEVICE=cpu asks for the CPU."""
    found = device_named("auto")
    return found if found.type == "cuda" else torch.device("cpu")


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU, and on a CPU with AMX (matrix tiles); otherwise float32.

    On a CPU without AMX, bfloat16 had two thirds of float32's speed.
    """
    has_tiles = device.type != "cpu" or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if has_tiles else torch.float32


def mixed(device: torch.device) -> torch.autocast:
    """Mixed precision: layers calculate in `fast_dtype`; weights and sums stay float32."""
    enabled = fast_dtype(device) == torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
