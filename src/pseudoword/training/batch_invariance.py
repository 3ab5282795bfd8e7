"""A word's numbers do not depend on the other words of its pack, as far as kernels allow it.

Of the operations of a denoiser and its text encoders, libraries choose the kernel of a 1×1
convolution by the size of the batch, that of many small matrix products by their number and the
threads there are, and for a matrix product with one row (of a time, or of a text as one vector, in
a batch of one sample) another one than with several; kernels round differently. Written in another
way they are exact, and as fast. (For processors with tiles see `models.compute.fixed_groups`.)
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pseudoword.models.compute.fixed_groups import depends_on_rows, in_fixed_rows
from pseudoword.models.compute.frozen_layers import is_pointwise
from pseudoword.models.family import Family
from pseudoword.training.determinism import repeatable

Exact = Sequence[tuple[Any, Callable[[Tensor], Tensor]]]
"""Modules, and for each another `forward`."""


def exact_forwards(*models: nn.Module) -> Exact:
    """The modules in `models` that need another `forward`, with it."""
    found: list[tuple[Any, Callable[[Tensor], Tensor]]] = []
    for part in chain.from_iterable(model.modules() for model in models):
        if "forward" in vars(part):  # somebody else's already
            continue
        if type(part) is nn.Linear:
            found.append((part, partial(_linear, part)))
        elif isinstance(part, nn.Conv2d) and is_pointwise(part):
            found.append((part, partial(_pointwise, part)))
        elif type(part).__name__ == "AttentionPooling":  # without importing diffusers
            found.append((part, partial(_pooled, part)))
    return found


def reading_and_denoising(family: Family) -> list[nn.Module]:
    """The parts of a model that a step runs: its text encoders and its denoiser."""
    return [encoder.model for encoder in family.encoders.values()] + [family.denoiser]


@contextmanager
def exact(family: Family, *, deterministic: bool) -> Iterator[None]:
    """While open, a word's numbers are the same in every batch, and its gradients in every run."""
    forwards = exact_forwards(*reading_and_denoising(family))
    with repeatable(family.device, deterministic), batch_invariant(forwards):
        yield


@contextmanager
def batch_invariant(forwards: Exact) -> Iterator[None]:
    """While open, modules have the `forward` that `exact_forwards` found."""
    for module, forward in forwards:
        module.__dict__["forward"] = forward  # not as an attribute: for modules that takes long
    try:
        yield
    finally:
        for module, _ in forwards:
            del module.__dict__["forward"]


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """`[…, C]` -> `[…, D]`, never as the product with a single row."""
    return _product(x, layer.weight, layer.bias)


def _pointwise(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """`[B, C, h, w]` -> `[B, D, h, w]`."""
    weight = convolution.weight.flatten(1)
    by_position = x.permute(0, 2, 3, 1)  # [B, h, w, C]
    return _product(by_position, weight, convolution.bias).permute(0, 3, 1, 2)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`[…, C]` and `[D, C]` -> `[…, D]`; each row, and its gradient, is rounded as if alone."""
    if depends_on_rows(x, *weight.shape):
        return in_fixed_rows(lambda rows: linear(rows, weight, bias), x)
    if x.numel() > x.shape[-1]:
        return linear(x, weight, bias)
    return linear(torch.stack([x, x]), weight, bias)[0]


def _pooled(pooling: Any, text: Tensor) -> Tensor:
    """The mean of a text attends to it: `[B, L, C]` -> `[B, C]`."""
    mean = text.mean(dim=1, keepdim=True) + pooling.positional_embedding.to(text.dtype)
    tokens = torch.cat([mean, text], dim=1)
    of_head = (pooling.num_heads, -1)
    query = pooling.q_proj(mean).unflatten(-1, of_head)  # [B, 1, heads, C / heads]
    keys = pooling.k_proj(tokens).unflatten(-1, of_head)  # [B, L + 1, heads, C / heads]
    values = pooling.v_proj(tokens).unflatten(-1, of_head)
    likeness = (query * keys).sum(-1, keepdim=True) / pooling.dim_per_head**0.5
    shares = likeness.float().softmax(dim=1).to(values.dtype)
    pooled: Tensor = (shares * values).sum(1).flatten(1)
    return pooled
