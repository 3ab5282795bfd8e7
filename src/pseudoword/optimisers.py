"""Optimisers by name: a class of `torch.optim`, or an import path such as `prodigyopt.Prodigy`."""

import ast
import importlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pseudoword.errors import SettingsError


def make(
    name: str, options: Sequence[str], parameters: Sequence[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """An optimiser over `parameters`.

    Weight decay is off unless `options` ask for it: it would pull the word towards nothing.

    Args:
        name: a class of `torch.optim`, or its import path.
        options: its arguments as `key=value`, values written as in Python.
        parameters: what it may change.
        lr: its first rate.

    Raises:
        SettingsError: there is no such class, or it does not take these options.
    """
    kind = _find(name)
    known = inspect.signature(kind).parameters
    given = {"weight_decay": 0.0} if "weight_decay" in known else {}
    given |= {"lr": lr} | dict(_option(text) for text in options)
    try:
        made: torch.optim.Optimizer = kind(list(parameters), **given)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise SettingsError(f"--optimiser {name} does not work: {error}") from error
    return made


def clip(
    parameters: Sequence[nn.Parameter], norm: float, value: float, scale: float
) -> tuple[Tensor, Tensor]:
    """Divide gradients by `scale`, cut their numbers to `value`, then shorten them to `norm`.

    0 is no limit.

    Returns:
        Two scalars on the device, so that nothing waits for it: the norm before, and the largest
        number in the gradient of the parameter that is reached least (0: not at all).
    """
    reached = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    for grad in reached:
        grad /= scale
    before = nn.utils.get_total_norm(reached)
    least = torch.stack([grad.abs().max() for grad in reached]).min()
    if value:
        nn.utils.clip_grad_value_(parameters, value)
    if norm:
        nn.utils.clip_grad_norm_(parameters, norm)
    return before, least


@contextmanager
def at_rest(optimiser: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """While open, `parameters` are what the optimiser would hand over.

    Schedule-free optimisers (Defazio et al. 2024, arXiv 2405.15682) step from other points than
    their result. Theirs are put back exactly, since going there and back is not exact.
    """
    if not (hasattr(optimiser, "eval") and hasattr(optimiser, "train")):
        yield
        return
    stepping = [p.detach().clone() for p in parameters]
    optimiser.eval()
    try:
        yield
    finally:
        optimiser.train()
        for parameter, value in zip(parameters, stepping, strict=True):
            parameter.data.copy_(value)


def _find(name: str) -> Any:
    module, _, kind = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module or "torch.optim"), kind)
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"--optimiser {name} cannot be imported ({error}). Give the name of a class in "
            "torch.optim, such as AdamW, or an import path of an installed package, such as "
            "prodigyopt.Prodigy or schedulefree.AdamWScheduleFree."
        ) from error
    if not (inspect.isclass(found) and issubclass(found, torch.optim.Optimizer)):
        raise SettingsError(f"--optimiser {name} is no optimiser of torch")
    if found is torch.optim.Optimizer or found.__name__ in {"LBFGS", "SparseAdam"}:
        raise SettingsError(
            f"--optimiser {name} cannot learn a word: it needs several looks at each batch, or "
            "sparse gradients. AdamW is the usual choice."
        )
    return found


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (equals and key.strip().isidentifier()):
        raise SettingsError(f"--optimiser-option {text!r}: write it as key=value")
    try:
        return key.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return key.strip(), value.strip()
