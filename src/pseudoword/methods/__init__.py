"""Methods: how vectors come to be. Add one by adding a file here and a line to `METHODS`."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from pseudoword.methods.classic import Classic


class Method(Protocol):
    """What training needs of a method: parameters, and the vectors they make."""

    name: str

    def parameters(self) -> list[nn.Parameter]:
        """All that the optimiser may change, in a stable order."""
        ...

    def vectors(self) -> Mapping[str, Tensor]:
        """The word's rows per text encoder, `[n, width]`, attached to the graph."""
        ...


METHODS: dict[str, Callable[[Mapping[str, Tensor], torch.device], Method]] = {"classic": Classic}
"""Name -> how to begin at given rows on a device."""
