"""Keep the blocks of a frozen model in main memory, and each on the device only while it works.

A block's activations are not kept: in the backward pass it comes again, computes them, and passes
the gradient on (Chen et al. 2016). What autograd saves of its weights is then on the device, and
lives until the gradient has passed. diffusers' own group offloading has no such second visit: it
takes weights away behind the forward pass, and the backward pass finds them on another device.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pseudoword.models.compute.checkpointing import checkpointed
from pseudoword.models.compute.transfers import pinned


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of a model that run one after another: members of its outermost lists."""
    found: list[nn.Module] = []
    for child in model.children():
        found += child.children() if isinstance(child, nn.ModuleList) else blocks_of(child)
    return found


def keep_away(model: nn.Module, device: torch.device) -> None:
    """Put a frozen model onto `device`, without its blocks; these come when they are run."""
    blocks = blocks_of(model)
    for block in blocks:
        weights = [
            (part, name, weight)
            for part in block.modules()
            for name, weight in part.named_parameters(recurse=False)
        ]
        for _, _, weight in weights:
            weight.data = pinned(weight.data, device)
        for part in block.modules():
            for buffer in part.buffers(recurse=False):
                buffer.data = buffer.data.to(device)
        block.forward = _visiting(block.forward, weights, device)
    inside = {id(part) for block in blocks for part in block.modules()}
    for part in model.modules():
        if id(part) not in inside:
            _move_own(part, device)


def _move_own(part: nn.Module, device: torch.device) -> None:
    """Move what a module holds itself, without what its children hold."""
    if not any(part.children()):
        part.to(device)
        return
    for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
        tensor.data = tensor.data.to(device)


Weights = Sequence[tuple[nn.Module, str, nn.Parameter]]
"""Modules, and the weights that they have under these names."""


def _visiting(
    forward: Callable[..., Any], weights: Weights, device: torch.device
) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with _here(weights, device):
            return forward(*args, **kwargs)

    return checkpointed(run)


@contextmanager
def _here(weights: Weights, device: torch.device) -> Iterator[None]:
    """While open, the modules have copies of their weights on the device.

    Autograd keeps frozen weights as they are, so the copies must be tensors of their own.
    """
    try:
        for part, name, weight in weights:
            part._parameters[name] = nn.Parameter(fetch(weight.data, device), False)
        yield
    finally:
        for part, name, weight in weights:
            part._parameters[name] = weight


def fetch(home: Tensor, device: torch.device) -> Tensor:
    """A weight's numbers on the device."""
    return home.to(device, non_blocking=True)
