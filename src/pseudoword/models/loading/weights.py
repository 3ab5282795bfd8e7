"""A model's weights once they are loaded: finite, and the same bytes wherever their file lay."""

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook


def copy_mapped(model: nn.Module) -> None:
    """Copy what lies in a mapped file into memory of torch's own, which begins at 64 bytes.

    Libraries of linear algebra round differently at other addresses, on some CPUs. A file's tensors
    lie wherever its header happened to end, so that one model in two files would learn two words.
    One tensor is copied at a time. What has been copied counts as memory of this process; the
    mapped file does not: the system drops its pages when it needs them.
    """
    for tensor in _tensors(model):
        if tensor.device.type == "cpu" and not _is_allocated_by_torch(tensor):
            tensor.data = tensor.data.clone()


def find_not_finite(model: nn.Module) -> str | None:
    """The name of a weight with a number that is not finite, if there is one."""
    for name, tensor in model.named_parameters():
        # The largest and the smallest number tell, and are found many times as fast.
        if tensor.numel() and not torch.isfinite(torch.stack(torch.aminmax(tensor))).all():
            return name
    return None


def sampled_digest(*modules: torch.nn.Module) -> str:
    """A hash over the first few numbers of every weight: quick, and enough to tell models apart."""
    weights = [w for module in modules for _, w in sorted(module.state_dict().items())]
    sample = torch.cat([w.flatten()[:16].float().cpu() for w in weights])
    return hashlib.blake2b(sample.numpy().tobytes(), digest_size=8).hexdigest()


@contextmanager
def limit_weights(tensors: int, numbers: int) -> Iterator[None]:
    """While open, making a model of more tensors or numbers is an error.

    A config says in one line what takes days to make. What it may say is what there are weights
    for; twice, since some libraries make each parameter again when they fill it.
    """
    made = [0, 0]

    def count(_module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        made[0] += 1
        made[1] += 0 if parameter is None else parameter.numel()
        if made[0] > 2 * tensors + 1000 or made[1] > 2 * numbers + 1_000_000:
            raise ValueError(f"its config asks for more weights than there are, from {name} on")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(model.parameters(), model.buffers())


def _is_allocated_by_torch(tensor: Tensor) -> bool:
    """Whether torch allocated it: such memory can be resized, mapped memory cannot."""
    return tensor.untyped_storage().resizable() and tensor.data_ptr() % 64 == 0
