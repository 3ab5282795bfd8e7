"""Optimisers by name: a class of `torch.optim`, or an import path such as `prodigyopt.Prodigy`."""

import importlib
import inspect
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pseudoword.config.optimiser_options import (
    SET_ELSEWHERE,
    TORCH,
    OptimiserOption,
    check_installed,
    no_optimiser,
)
from pseudoword.errors import SettingsError
from pseudoword.text import brief, reason


def make(
    name: str, options: Sequence[OptimiserOption], parameters: Sequence[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """An optimiser over `parameters`.

    Weight decay is off unless `options` ask for it: it would pull the word towards nothing.

    Raises:
        SettingsError: there is no such class, or it does not take these options.
    """
    kind, known = _find(name), _options_of(name)
    given = {"weight_decay": 0.0} if "weight_decay" in known else {}
    given |= {"lr": lr} | _arguments(options, known)
    try:
        made: torch.optim.Optimizer = kind(list(parameters), **given)
        if hasattr(made, "train"):  # schedule-free ones refuse to step until they are told to
            made.train()
    except Exception as error:  # each class has errors of its own
        raise SettingsError(f"--optimiser {name} does not work: {reason(error)}") from error
    return made


def check(name: str, options: Sequence[OptimiserOption]) -> None:
    """Check, with one number, that `make`, a step, and saving and loading the state work.

    This needs no model, so it is done before anything is loaded.

    Raises:
        SettingsError: as `make`; or one of them does not work.
    """
    number = nn.Parameter(torch.zeros(1, 1, dtype=torch.float32))
    optimiser = make(name, options, [number], 1e-3)
    number.grad = torch.ones_like(number)
    state = io.BytesIO()
    try:
        optimiser.step()
        torch.save(optimiser.state_dict(), state)
        state.seek(0)
        optimiser.load_state_dict(torch.load(state, weights_only=True))
    except Exception as error:  # what its arithmetic, or an option, runs into
        raise SettingsError(f"--optimiser {name} does not work: {reason(error)}") from error


def rate_of_its_own(name: str) -> bool:
    """Whether the optimiser finds its own rate and expects lr=1: whether 1 is its default."""
    rate = _options_of(name).get("lr")
    return rate is not None and rate.default in (1, 1.0)


def steps_by_rate(name: str) -> bool:
    """Whether each step of this optimiser moves a number by about the rate, as Adam's do."""
    return "adam" in name.rpartition(".")[2].lower()


def clip(
    parameters: Sequence[nn.Parameter], norm: float, value: float, scale: float, words: int = 1
) -> tuple[Tensor, Tensor]:
    """Divide gradients by `scale`, clip their numbers to `value`, then their norm to `norm`.

    0 means no limit. The parameters are those of so many `words`, one after the other.

    Returns:
        Two scalars, still on the device: the norm before clipping, and the largest number in the
        gradient of the parameter with the smallest gradient (0: no gradient reaches it). Of several
        words, it is that of the one that a gradient reaches best: a batch need not have all.
    """
    reached = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    for grad in reached:
        grad /= scale
    before = nn.utils.get_total_norm(reached)
    largest = torch.stack([grad.abs().max() for grad in reached])
    least = largest.view(words, -1).min(1).values.max()
    if value:
        nn.utils.clip_grad_value_(parameters, value)
    if norm:
        now = nn.utils.get_total_norm(reached) if value else before
        nn.utils.clip_grads_with_norm_(parameters, norm, now)
    return before, least


@contextmanager
def final_parameters(
    optimiser: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]
) -> Iterator[bool]:
    """While open, `parameters` have the values that the optimiser calls its result.

    Schedule-free optimisers (Defazio et al. 2024, arXiv 2405.15682) take steps from other
    points than their result. Those are restored exactly, since computing them back is not exact.

    Yields:
        Whether it is such an optimiser.
    """
    if not (hasattr(optimiser, "eval") and hasattr(optimiser, "train")):
        yield False
        return
    stepping = [p.detach().clone() for p in parameters]
    optimiser.eval()
    try:
        yield True
    finally:
        optimiser.train()
        for parameter, value in zip(parameters, stepping, strict=True):
            parameter.data.copy_(value)


def _find(name: str) -> Any:
    check_installed(name)
    module, _, kind = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module or TORCH), kind)
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise no_optimiser(name, reason(error)) from error
    if not (inspect.isclass(found) and issubclass(found, torch.optim.Optimizer)):
        raise SettingsError(f"--optimiser {brief(name)} is not an optimiser of torch")
    if found is torch.optim.Optimizer or found.__name__ in {"LBFGS", "SparseAdam"}:
        raise SettingsError(
            f"--optimiser {name} cannot learn a word: it needs several passes over each batch, or "
            "sparse gradients. AdamW is the usual choice."
        )
    return found


def _options_of(name: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(_find(name)).parameters
    except (TypeError, ValueError):  # a class without a signature
        return {}


def _arguments(
    options: Sequence[OptimiserOption], known: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    takes_any = any(one.kind is one.VAR_KEYWORD for one in known.values())
    given: dict[str, Any] = {}
    for option in options:
        told = f"--optimiser-option {brief(option.text)}"
        if option.key in given:
            raise SettingsError(f"{told}: {option.key} is given twice")
        if known and option.key not in known and not takes_any:
            able = ", ".join(one for one in known if one not in SET_ELSEWHERE)
            raise SettingsError(f"{told}: the optimiser does not know it. It takes {able}.")
        given[option.key] = option.value
    return given
