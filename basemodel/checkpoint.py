"""Checkpoints of training stages: tensors, numbers, and containers of them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from pseudoword.files import write_whole


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old file or the new one."""
    buffer = BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any] | None:
    """Read what `save` wrote; None if there is no file yet."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
