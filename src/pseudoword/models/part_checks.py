"""Checks that the parts of a model work together, made when they are loaded."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pseudoword.errors import BaseModelError, PseudowordError
from pseudoword.models.loading.weights import advice_on_range
from pseudoword.text import reason


@contextmanager
def working_together(model: str, parts: str) -> Iterator[None]:
    """While open, turn any error into one that says that `parts` of `model` do not fit together."""
    try:
        yield
    except PseudowordError:
        raise
    except Exception as error:  # any error of parts that do not fit together
        raise BaseModelError(
            f"{model}: its {parts} do not work together ({reason(error)}). The configs or the "
            "files are of different models."
        ) from error


def check_output(output: Tensor, shape: tuple[int, ...], model: str) -> None:
    """Check that an output has this shape and finite numbers.

    Args:
        output: of a part.
        shape: what it should have.
        model: its name, for the error message.

    Raises:
        ValueError: it has another shape.
        BaseModelError: its numbers are not finite.
    """
    if tuple(output.shape) != shape:
        raise ValueError(f"the output is {list(output.shape)}, expected {list(shape)}")
    if not torch.isfinite(output).all():
        raise BaseModelError(
            f"{model} predicts numbers that are not finite, so it can neither train nor draw"
            f"{advice_on_range(output.dtype)}."
        )
