"""Functions that replace a layer's `forward`: they go with the model, or after a while."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from weakref import finalize

from torch import nn


def free_at_once(model: nn.Module) -> None:
    """Let the weights of `model` go with it.

    A layer and a `forward` that replaces its own hold each other: they would stay, with the
    weights, until Python next searches for garbage, and another model may be loaded before. So
    these functions go when the model does.
    """
    _, *parts = model.modules()
    finalize(model, _forget_forwards, parts).atexit = False


def _forget_forwards(parts: Iterable[nn.Module]) -> None:
    for part in parts:
        part.__dict__.pop("forward", None)


@contextmanager
def forwards_put_back(*models: nn.Module) -> Iterator[None]:
    """While open, the `forward`s in `models` may be replaced; then they are what they were."""
    before = [(part, vars(part).get("forward")) for one in models for part in one.modules()]
    try:
        yield
    finally:
        _forget_forwards(part for part, _ in before)
        for part, forward in before:
            if forward is not None:
                vars(part)["forward"] = forward
