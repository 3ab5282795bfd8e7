"""Models whose files hold just their weights, by their names and in their shapes.

They need nothing of what the libraries' own loaders do for all others: those make a model without
numbers first, for which torch imports sympy, and compile patterns for the names that the weights of
all models once had. That takes longer than reading a small model.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.overrides import TorchFunctionMode

from pseudoword.models.loading.header import Header

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
"""All that can be kept in float32 without loss."""

FILLING = (nn.init.__name__, "transformers.initialization")
"""Modules of functions that fill a weight; transformers puts its own in the place of torch's."""


def load_plain(
    make: Callable[[], nn.Module], paths: Sequence[Path], headers: Sequence[Header]
) -> nn.Module | None:
    """Load a model in float32 from its safetensors files.

    In other precisions the libraries know which layers keep 32 bits.

    Args:
        make: makes the model from its config.
        paths: the files: all that it has.
        headers: the headers of these.

    Returns:
        The model. None if its weights have other names, shapes or types than those in the files, or
        anything is wrong: then the library's own loader can load it, or tells what is wrong.
    """
    try:
        with _NothingFilled():
            model = make()
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        if _joined(header.shapes for header in headers) != shapes:
            return None
        weights: dict[str, torch.Tensor] = _joined(map(load_file, paths))
        if any(weight.dtype not in FLOATS for weight in weights.values()):
            return None
        model.load_state_dict({name: w.float() for name, w in weights.items()}, assign=True)
    except Exception:  # each library has its own errors for damaged configs
        return None
    return model


def _joined(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """All entries of `parts`.

    Raises:
        ValueError: several have an entry of the same name.
    """
    pairs = [pair for part in parts for pair in part.items()]
    joined = dict(pairs)
    if len(joined) < len(pairs):
        raise ValueError("two files hold the same weight")
    return joined


class _NothingFilled(TorchFunctionMode):
    """While open, torch makes layers without random numbers, which the files' would replace."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What `func` gives; of one that fills a weight, that weight as it is."""
        given = kwargs or {}
        if getattr(func, "__module__", None) in FILLING:
            return args[0] if args else given["tensor"]
        return func(*args, **given)
