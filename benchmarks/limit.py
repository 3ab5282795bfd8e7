"""The limit of a step: its counted work, at the rate of matrix products measured on this machine.

No step of the same work in the same precision can be faster than the hardware multiplies matrices.
What other programs do beside it slows both down, so they are measured in turns.
"""

import math
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils import flop_counter
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.shared import processor

SIDE = 1024
"""Rows and columns of the matrices that the rate is measured with."""

PRODUCTS = 8
"""Matrix products of one measurement."""

Shape = Sequence[int]


def _attention(query: Shape, key: Shape, value: Shape, *_rest: Any, **_more: Any) -> int:
    return int(flop_counter.sdpa_flop_count(query, key, value))


def _attention_backward(
    grad: Shape, query: Shape, key: Shape, value: Shape, *_rest: Any, **_more: Any
) -> int:
    return int(flop_counter.sdpa_backward_flop_count(grad, query, key, value))


def _product(x: Shape, weight: Shape, *_rest: Any, **_more: Any) -> int:
    return 2 * math.prod(x) * weight[0]


def _convolution(x: Shape, weight: Shape, *_rest: Any, out_shape: Shape, **_more: Any) -> int:
    return int(flop_counter.conv_flop_count([*x], [*weight], [*out_shape]))


OF_CPU = {
    torch.ops.mkldnn._linear_pointwise: _product,
    torch.ops.mkldnn._convolution_pointwise: _convolution,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""What torch's counter does not know: attention on a CPU, and layers laid out for oneDNN."""


def counted_flops(work: Callable[[], object]) -> int:
    """The floating-point operations of matrix products, convolutions and attention in `work`."""
    with FlopCounterMode(display=False, custom_mapping=OF_CPU) as counter:
        work()
    return int(counter.get_total_flops())


class MatrixRate:
    """Measures how many floating-point operations a second matrix products do.

    On a CPU, torch multiplies with one of two libraries, and the other may be twice as fast: the
    faster one counts.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        side = SIDE * (8 if device.type == "cuda" else 1)
        one, other = torch.randn(2, side, side, device=device, dtype=dtype)
        self._side = side
        self._products: list[Callable[[], Tensor]] = [lambda: torch.mm(one, other)]
        if device.type == "cpu" and torch.backends.mkldnn.is_available():
            by_onednn = torch.ops.mkldnn._linear_pointwise
            self._products.append(lambda: by_onednn(one, other, None, "none", [], ""))
        self._seen: list[float] = []
        self._measure()  # warms up

    def measure(self) -> None:
        """Measure once more; call it in turns with what is compared with it."""
        self._seen.append(self._measure())

    @property
    def flops(self) -> float:
        """Operations a second: the median of what was measured."""
        return median(self._seen)

    def _measure(self) -> float:
        return max(self._rate_of(product) for product in self._products)

    def _rate_of(self, product: Callable[[], Tensor]) -> float:
        synchronize(self._device)
        began = time.perf_counter()
        for _ in range(PRODUCTS):
            product()
        synchronize(self._device)
        return PRODUCTS * 2 * self._side**3 / (time.perf_counter() - began)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> str:
    """The name of the machine that figures belong to, with the version of torch."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
