"""Models whose files hold just their weights, by their names and in their shapes.

They need nothing of what the libraries' own loaders do for all others: those make a model without
numbers first, for which torch imports sympy, and compile patterns for the names that the weights of
all models once had. That takes longer than reading a small model.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pseudoword.models.loading.header import Header
from pseudoword.models.loading.loaders import by_default

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
"""All that can be kept in float32 without loss."""

KEEP_FLOAT32 = ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict")
"""Where a class of the libraries names its layers that stay in float32 in any precision."""

FILLING = (nn.init.__name__, "transformers.initialization")
"""Modules of functions that fill a weight; transformers puts its own in the place of torch's."""


def load_plain(
    make: Callable[[], nn.Module],
    paths: Sequence[Path],
    headers: Sequence[Header],
    dtype: torch.dtype,
) -> nn.Module | None:
    """Load a model from its safetensors files.

    Args:
        make: makes the model from its config.
        paths: the files: all that it has.
        headers: the headers of these.
        dtype: its precision.

    Returns:
        The model. None if its weights have other names, shapes or types than those in the files, if
        parts of it have a precision of their own, or anything is wrong: then the library's own
        loader can load it, or tells what is wrong.
    """
    try:
        with _NothingFilled(), by_default(dtype):  # no more room than later
            model = make()
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        if _joined(header.shapes for header in headers) != shapes:
            return None
        if dtype is not torch.float32 and _is_mixed(model):
            return None
        weights: dict[str, Tensor] = _joined(_read(path, dtype) for path in paths)
        model.load_state_dict(weights, assign=True)
        _write_down(getattr(model, "config", None), dtype)
    except Exception:  # each library has its own errors for damaged configs
        return None
    return model


def _is_mixed(model: nn.Module) -> bool:
    """Whether some of it stays in float32, or may: numbers that are in no file."""
    if any(getattr(model, name, None) for name in KEEP_FLOAT32):
        return True
    in_files = model.state_dict().keys()
    return any(b.is_floating_point() for n, b in model.named_buffers() if n not in in_files)


def _read(path: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights of a file, in that precision: one after the other, as both may be large.

    Raises:
        ValueError: some are no numbers, or of more than 32 bits.
    """
    weights = {}
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (it is no dictionary)
            weight = file.get_tensor(name)
            if weight.dtype not in FLOATS:
                raise ValueError(f"{name} has {weight.dtype}")
            weights[name] = weight.to(dtype)
    return weights


def _write_down(config: Any, dtype: torch.dtype) -> None:
    """Write the precision into a config, as transformers does; those of diffusers have none."""
    if hasattr(config, "dtype"):
        config.dtype = dtype


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
