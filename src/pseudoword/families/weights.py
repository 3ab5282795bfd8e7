"""A model's weights once they are loaded: finite, and the same bytes wherever their file lay."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def own(model: nn.Module) -> None:
    """Copy what lies in a mapped file into memory of torch's own, which begins at 64 bytes.

    Libraries of linear algebra round differently at other addresses, on some CPUs. A file's tensors
    lie wherever its header happened to end, so that one model in two files would learn two words.
    One tensor is copied at a time. What has been copied counts as memory of this process; the
    mapped file does not: the system drops its pages when it needs them.
    """
    for tensor in _tensors(model):
        if tensor.device.type == "cpu" and not _is_own(tensor):
            tensor.data = tensor.data.clone()


def not_finite(model: nn.Module) -> str | None:
    """The name of a weight with a number that is not finite, if there is one."""
    for name, tensor in model.named_parameters():
        # The largest and the smallest number tell, and are found many times as fast.
        if tensor.numel() and not torch.isfinite(torch.stack(torch.aminmax(tensor))).all():
            return name
    return None


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(model.parameters(), model.buffers())


def _is_own(tensor: Tensor) -> bool:
    """Whether torch allocated it: such memory can be resized, mapped memory cannot."""
    return tensor.untyped_storage().resizable() and tensor.data_ptr() % 64 == 0
