"""Bit-identical gradients on a GPU, so that a run that is resumed or repeated ends with the same
bytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pseudoword.errors import TrainingError
from pseudoword.process_wide import ProcessWide
from pseudoword.text import reason


@contextmanager
def repeatable(device: torch.device, wanted: bool = True) -> Iterator[None]:
    """While open, GPU kernels add numbers in a fixed order. On a CPU they always do.

    The backward pass of attention adds in the order in which its threads finish. Only the strict
    mode of torch prevents this; the mode that warns still uses such kernels.

    Raises:
        TrainingError: the model needs a kernel without a fixed order.
    """
    if device.type != "cuda" or not wanted:
        yield
        return
    try:
        with _strict:
            yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise TrainingError(
            f"this model cannot be trained so that a run repeats bit for bit ({reason(error)}). "
            "Add --no-deterministic."
        ) from error


@contextmanager
def _strict_mode() -> Iterator[None]:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # the strict mode asks for it
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    utils: Any = torch.utils.deterministic
    fills = utils.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(True)
        utils.fill_uninitialized_memory = False  # nothing here reads what it did not write
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=lenient)
        utils.fill_uninitialized_memory = fills


_strict = ProcessWide(_strict_mode)
