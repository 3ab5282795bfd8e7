"""A model that is let go of leaves memory at once."""

from collections.abc import Iterable
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
