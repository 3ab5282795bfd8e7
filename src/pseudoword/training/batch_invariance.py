"""A word's numbers do not depend on the other words of its pack, as far as kernels allow it.

Of the operations of a denoiser and its text encoders, libraries choose the kernel of a 1×1
convolution by the size of the batch, and kernels round differently. As a matrix product over all
positions it is exact in every batch, and as fast.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import linear

from pseudoword.models.family import Family
from pseudoword.training.determinism import repeatable


def pointwise_convolutions(modules: Iterable[nn.Module]) -> list[nn.Conv2d]:
    """The 1×1 convolutions in `modules`, which mix the channels of each position."""
    found = []
    for module in modules:
        for part in module.modules():
            if isinstance(part, nn.Conv2d) and part.kernel_size == part.stride == (1, 1):
                plain = part.groups == 1 and part.padding in {(0, 0), 0, "valid", "same"}
                if plain and "forward" not in vars(part):
                    found.append(part)
    return found


@contextmanager
def exact(family: Family, *, deterministic: bool) -> Iterator[None]:
    """While open, a word's numbers are the same in every batch, and its gradients in every run."""
    convolutions = pointwise_convolutions([family.denoiser])
    with repeatable(family.device, deterministic), batch_invariant(convolutions):
        yield


@contextmanager
def batch_invariant(convolutions: Iterable[nn.Conv2d]) -> Iterator[None]:
    """While open, `convolutions`, all 1×1, are matrix products over positions."""
    changed = list(convolutions)
    for convolution in changed:
        convolution.forward = partial(_pointwise, convolution)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for convolution in changed:
            del convolution.forward


def _pointwise(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """`[B, C, h, w]` -> `[B, D, h, w]`."""
    weight = convolution.weight.flatten(1)
    by_position = x.permute(0, 2, 3, 1)  # [B, h, w, C]
    return linear(by_position, weight, convolution.bias).permute(0, 3, 1, 2)
