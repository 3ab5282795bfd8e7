"""A model's weights after loading: checked to be finite, and aligned in memory."""

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook


def copy_mapped(model: nn.Module) -> None:
    """Copy tensors of a memory-mapped file into memory that torch allocates, aligned to 64 bytes.

    On some CPUs, linear algebra rounds differently at other addresses. Where tensors lie in a file
    depends on the length of its header, so the same model in two files would learn different rows.
    Tensors are copied one by one. The copies count as memory of this process; the mapped file does
    not, since the system can drop its pages at any time.
    """
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.device.type == "cpu" and not _is_allocated_by_torch(tensor):
            tensor.data = tensor.data.clone()


def find_not_finite(model: nn.Module) -> str | None:
    """The name of a weight that has a number that is not finite; None if all are."""
    named = [(name, one.detach()) for name, one in model.named_parameters() if one.numel()]
    # Checking only the largest and the smallest number is many times faster, and asking once for
    # those of all weights is faster than asking for those of each.
    ends = [torch.stack(torch.aminmax(tensor)) for _, tensor in named]
    if not ends or torch.isfinite(torch.cat(ends)).all():
        return None
    return next(name for (name, _), pair in zip(named, ends, strict=True) if not _finite(pair))


def _finite(numbers: Tensor) -> bool:
    return bool(torch.isfinite(numbers).all())


def advice_on_range(dtype: torch.dtype) -> str:
    """What may help where numbers in this precision are not finite, behind a sentence; or empty."""
    if dtype is not torch.float16:
        return ""
    return ". Perhaps they are too large for float16: try --dtype bfloat16 or float32"


def sampled_digest(*modules: nn.Module) -> str:
    """A hash over the first 16 numbers of every weight: quick, and different between models."""
    weights = [w for module in modules for _, w in sorted(module.state_dict().items())]
    sample = torch.cat([w.flatten()[:16].float().cpu() for w in weights])
    return hashlib.blake2b(sample.numpy().tobytes(), digest_size=8).hexdigest()


@contextmanager
def limit_weights(tensors: int, numbers: int) -> Iterator[None]:
    """While open, it is an error to make a model with more tensors or numbers than its files hold.

    One line of a config can ask for a model that takes days to make. The limit is twice as high,
    since some libraries make each parameter a second time when they fill it.
    """
    made, here = [0, 0], get_ident()

    def count(_module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if get_ident() != here:  # another model, of another thread
            return
        made[0] += 1
        made[1] += 0 if parameter is None else parameter.numel()
        if made[0] > 2 * tensors + 1000 or made[1] > 2 * numbers + 1_000_000:
            raise ValueError(f"its config asks for more weights than there are, from {name} on")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _is_allocated_by_torch(tensor: Tensor) -> bool:
    """Whether torch allocated it, aligned: its memory can be resized, mapped memory cannot."""
    return tensor.untyped_storage().resizable() and tensor.data_ptr() % 64 == 0
