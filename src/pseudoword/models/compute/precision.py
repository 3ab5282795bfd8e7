"""In which precision a processor computes fastest, and what it computes in another one.

Where a CPU multiplies in bfloat16 (AVX512-BF16), layers take half the time that they take in
float32, but torch's kernels for some other operations take several times as long. Those are given
float32, and their results rounded; so nothing is less exact.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

FEW = 512
"""Positions from which on torch's attention is as fast in bfloat16. With 64, its backward pass
takes four times as long as in float32, with 256 one and a half times, with 1024 0.8 times."""

BFLOAT16_FROM, FLOAT16_FROM = 8, 7
"""Compute capabilities from which on NVIDIA's GPUs multiply matrices in 16 bits: Ampere, Volta."""

WITHOUT_FLOAT16 = ("GTX 16", "T500", "T550", "T600", "T1000", "T1200", "T2000", "MX450", "MX550")
"""GPUs of Turing without tensor cores. Stable Diffusion gets numbers that are none on them in
float16; AUTOMATIC1111 and ComfyUI compute in float32 there."""

WITHOUT_BFLOAT16 = ("gfx8", "gfx900", "gfx906", "gfx101", "gfx103")
"""AMD's GPUs that multiply in float16 only, up to RDNA 2 (RX 6000)."""

_stood_for = ContextVar("the kind of device that shapes without numbers stand for", default="meta")


def multiplies_in(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there, and this processor multiplies in that precision."""
    if not torch.backends.mkldnn.is_available():
        return False
    in_16_bits = dtype == torch.bfloat16 and torch.cpu._is_avx512_bf16_supported()
    return dtype == torch.float32 or in_16_bits


def fastest(device: torch.device) -> torch.dtype:
    """The precision in which `device` is fastest, and accurate enough for frozen weights.

    A GPU without a number is on another machine, and taken for one of today's.
    """
    if device.type == "cuda" and device.index is not None:
        return _fastest_on_cuda(torch.cuda.get_device_properties(device))
    if device.type in {"cuda", "xpu"} or (device.type == "cpu" and multiplies_in(torch.bfloat16)):
        return torch.bfloat16
    return torch.float32


def _fastest_on_cuda(gpu: Any) -> torch.dtype:
    """In which precision this GPU of NVIDIA or AMD is fastest.

    `torch.cuda.is_bf16_supported` is no answer: it is true where bfloat16 is computed in float32.
    """
    if torch.version.hip:
        old = gpu.gcnArchName.startswith(WITHOUT_BFLOAT16)
        return torch.float16 if old else torch.bfloat16
    if gpu.major >= BFLOAT16_FROM:
        return torch.bfloat16
    if gpu.major < FLOAT16_FROM or any(name in gpu.name for name in WITHOUT_FLOAT16):
        return torch.float32
    return torch.float16


@contextmanager
def shapes_of(device: torch.device) -> Iterator[None]:
    """While open, tensors on the meta device are treated as if they were on `device`."""
    before = _stood_for.set(device.type)
    try:
        yield
    finally:
        _stood_for.reset(before)


def for_norms(x: Tensor) -> Tensor:
    """`x` as a group norm is to read it: in float32 on a CPU."""
    return _widened(x) if _is_on_cpu(x) else x


def for_attention(queries: Tensor, keys: Tensor, *more: Tensor) -> Sequence[Tensor]:
    """`[B, heads, L, C]`, `[B, heads, T, C]` and more, as attention on a CPU is to read them."""
    every = queries, keys, *more
    few = min(queries.shape[2], keys.shape[2]) < FEW
    return [_widened(one) for one in every] if few and _is_on_cpu(queries) else every


def _is_on_cpu(x: Tensor) -> bool:
    return (_stood_for.get() if x.is_meta else x.device.type) == "cpu"


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.itemsize < torch.float32.itemsize else x
