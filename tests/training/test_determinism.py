"""Gradients on a GPU in a fixed order; here without one, by the mode that torch is in."""

from typing import Any

import pytest
import torch

from pseudoword.errors import TrainingError
from pseudoword.training.determinism import repeatable

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def mode() -> tuple[bool, bool, bool]:
    utils: Any = torch.utils.deterministic
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        utils.fill_uninitialized_memory,
    )


def test_on_a_gpu_torch_is_strict_while_it_is_open_and_as_before_afterwards() -> None:
    before = mode()
    with repeatable(GPU):
        assert mode() == (True, False, False)
    assert mode() == before
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with pytest.raises(ValueError, match="of somebody's"), repeatable(GPU):
            raise ValueError("of somebody's")
        assert mode()[:2] == (True, True)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("device", "wanted"), [(CPU, True), (GPU, False)])
def test_on_a_cpu_or_unwanted_nothing_changes(device: torch.device, wanted: bool) -> None:
    before = mode()
    with repeatable(device, wanted):
        assert mode() == before


def test_a_kernel_without_a_fixed_order_is_an_error_that_says_what_to_do() -> None:
    said = "some_backward_cuda does not have a deterministic implementation, but you set …"
    with pytest.raises(TrainingError, match="--no-deterministic"), repeatable(GPU):
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="out of memory"), repeatable(GPU):
        raise RuntimeError("CUDA out of memory")
