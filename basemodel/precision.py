"""Which numbers to calculate with: bfloat16 where it is faster than float32."""

from __future__ import annotations

import torch


def quick_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU, and on a CPU that multiplies tiles (AMX). On one that does not, it came to
    two thirds of float32's speed."""
    tiles = device.type != "cpu" or torch.cpu.get_capabilities().get("amx_bf16", False)
    return torch.bfloat16 if tiles else torch.float32


def mixed(device: torch.device) -> torch.autocast:
    """Layers calculate with `quick_dtype`; weights and sums stay float32."""
    half = quick_dtype(device) == torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=half)
