"""Gradients on a GPU that come out bit for bit alike, so that a run that is resumed or done again
ends with the same bytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pseudoword.errors import TrainingError
from pseudoword.text import reason

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def repeatable(device: torch.device, wanted: bool = True) -> Iterator[None]:
    """While open, kernels on a GPU add up in one order; on a CPU they do so anyway.

    The backward pass of attention adds up in whatever order its threads finish. Only torch's strict
    mode makes it keep one: the mode that warns of such kernels goes on using them.

    Raises:
        TrainingError: the model needs a kernel that has no fixed order.
    """
    if device.type != "cuda" or not wanted:
        yield
        return
    os.environ.setdefault(WORKSPACE, ":4096:8")  # torch's strict mode asks for it
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    utils: Any = torch.utils.deterministic
    fills = utils.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(True)
        utils.fill_uninitialized_memory = False  # nothing here reads what it did not write
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise TrainingError(
            f"this model cannot be trained so that a run repeats bit for bit ({reason(error)}). "
            "Add --no-deterministic."
        ) from error
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=lenient)
        utils.fill_uninitialized_memory = fills
