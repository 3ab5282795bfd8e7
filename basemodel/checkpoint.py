"""Files that appear whole or not at all, and checkpoints made of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def write_whole(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file beside `path`, flush it to disk, then rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def save(path: Path, state: dict[str, Any]) -> None:
    """Save tensors, numbers and containers of them."""
    write_whole(path, lambda file: torch.save(state, file))


def load(path: Path) -> dict[str, Any] | None:
    """Read what `save` wrote; None if there is no file yet."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
