"""How numbers reach the device that computes.

A copy from ordinary main memory waits until a GPU has done all that it was asked to, and none can
be made while a CUDA graph is recorded.
"""

import torch
from torch import Tensor

FROM_PINNED = {"cuda", "xpu"}
"""Kinds of devices that fetch numbers from pinned memory while Python goes on."""


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on the device; Python does not wait until it is there."""
    if device.type not in FROM_PINNED or tensor.device.type != "cpu":
        return tensor.to(device)
    return pinned(tensor, device).to(device, non_blocking=True)


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of main memory where the device can fetch it from while Python goes on."""
    return tensor.pin_memory() if device.type in FROM_PINNED else tensor


class Table:
    """Numbers that are looked up again and again: they go to each device once, and stay there."""

    def __init__(self, numbers: Tensor) -> None:
        """Keep `numbers`, on any device."""
        self._numbers = numbers
        self._on: dict[torch.device, Tensor] = {}

    def on(self, device: torch.device) -> Tensor:
        """The numbers on `device`."""
        if device not in self._on:
            self._on[device] = self._numbers.to(device)
        return self._on[device]
