"""The denoiser's forward and backward pass as CUDA graphs.

A step of one word launches thousands of small kernels, and Python needs longer for each than a fast
GPU does. A graph is recorded once for each shape of a batch, and then launched as a whole.
"""

from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pseudoword.errors import TrainingError, is_out_of_memory
from pseudoword.models.family import Condition, Family, MicroConditioning
from pseudoword.text import reason

MOST = 4
"""Shapes whose graphs are kept; each holds the memory of its activations."""

Graph = Callable[..., Tensor]
Shape = tuple[Hashable, ...]

_graphs: WeakKeyDictionary[Family, dict[Shape, Graph]] = WeakKeyDictionary()


def predict(
    family: Family,
    noisy: Tensor,
    t: Tensor,
    condition: Condition,
    micro_conditioning: MicroConditioning,
) -> Tensor:
    """`family.predict`, as a graph, which is recorded at the first batch of its shape.

    The result and its gradient are valid until the next call, so use them before it. Where each
    layer reads its own text, nothing is recorded: hooks choose the text, and a graph has none.

    Raises:
        TrainingError: the model does something that cannot be recorded.
    """
    if condition.layered:
        return family.predict(noisy, t, condition, micro_conditioning)
    text = condition.tensors
    inputs = [noisy, t, micro_conditioning, *text.values()]
    known = _graphs.setdefault(family, {})
    shape: Shape = (*text, *((one.shape, one.dtype) for one in inputs))
    if shape not in known:
        if len(known) == MOST:
            del known[next(iter(known))]
        known[shape] = _record(family, inputs, [*text])
    return known[shape](*inputs)


def _record(family: Family, inputs: list[Tensor], names: list[str]) -> Graph:
    """A graph that takes inputs like these; `names` are those of the condition's parts."""

    def run(noisy: Tensor, t: Tensor, micro_conditioning: Tensor, *text: Tensor) -> Tensor:
        parts: dict[str, Any] = dict(zip(names, text, strict=True))
        condition = Condition(**parts)
        return family.predict(noisy, t, condition, micro_conditioning)

    # Leaves of their own, which the graph reads from then on.
    own = tuple(one.detach().clone().requires_grad_(one.requires_grad) for one in inputs)
    try:
        with torch.cuda.device_of(own[0]):  # only what runs there is recorded
            graph: Any = torch.cuda.make_graphed_callables(run, own, allow_unused_input=True)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise TrainingError(
            f"this model cannot be run as CUDA graphs ({reason(error)}). Leave out --graphs."
        ) from error
    made: Graph = graph
    return made
