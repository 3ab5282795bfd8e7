"""What training needs of a method, and what a method is told."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pseudoword.config.method import MethodSettings
from pseudoword.errors import ConceptError
from pseudoword.formats import layered_rows

Rows = Mapping[str, Tensor]
"""A word's rows: the key of a text encoder, or of one layer of the denoiser behind it
(`clip_l.IN01`) -> `[n, width]`."""


@dataclass(frozen=True)
class Initialisation:
    """Where a word begins, and what a method may know of the model it is learned for."""

    rows: Rows
    """float32 `[n, width]`"""
    usual_norms: Mapping[str, float]
    """the median norm of the vocabulary's rows, per text encoder"""
    usual_number: float
    """the size (root of the mean square) of one number in the vocabulary's rows"""
    layers: Sequence[str] = ()
    """cross-attention layers of the denoiser that can be given other text each"""
    device: torch.device | None = None
    scales: Mapping[str, float] = field(default_factory=dict)
    """text encoder -> how many times larger the numbers of its rows are than `usual_number`, if
    they are of another order; they then change as many times faster"""

    @property
    def plain_rows(self) -> Rows:
        """`rows` for all layers.

        Raises:
            ConceptError: there are only some for each layer.
        """
        if shared := layered_rows.for_all(self.rows):
            return shared
        raise ConceptError(
            "--init is a layered word: go on with it by --method layered, or write it as an "
            "ordinary word with `pseudoword convert` first"
        )


class Method(ABC):
    """How a word's rows come to be, from what an optimiser changes."""

    name: ClassVar[str]
    """what `--method` calls it"""
    for_other_tools: ClassVar[str] = ""
    """what to do with its words for tools that cannot use them as they are"""
    goes_on_from_layers: ClassVar[bool] = False
    """whether it can begin at rows that are for each layer alone"""
    rate_unit: float
    """the learning rate that 100% stands for"""

    @abstractmethod
    def __init__(self, start: Initialisation, settings: MethodSettings) -> None:
        """Begin at `start`.

        Raises:
            ConceptError: the method cannot go on from such rows.
        """

    @abstractmethod
    def parameters(self) -> list[nn.Parameter]:
        """All that the optimiser may change, float32, in a stable order.

        There are as many for each of the start's rows, in their order. A gradient reaches each in
        the first step, or training ends: no factor of a product may begin at zero.
        """

    def reads_layers(self, _step: int) -> bool:
        """Whether `rows` are for each layer in that step, counted from 0; see `LAYERED`."""
        return False

    @abstractmethod
    def rows(self, step: int) -> Rows:
        """The rows that the text encoders read in that step, counted from 0, attached to the graph.

        They are the same for all samples, whatever their timesteps.
        """

    @abstractmethod
    def word(self) -> dict[str, Tensor]:
        """The rows to hand over as they are now, detached copies."""

    @abstractmethod
    def constrain(self) -> None:
        """Bring the parameters back to what the method allows, after the optimiser's step."""

    @abstractmethod
    def constrained(self, rows: Rows) -> dict[str, Tensor]:
        """`rows`, such as the mean of several words of this method, as it may hand them over."""

    def optimiser(self, _lr: float) -> torch.optim.Optimizer | None:
        """The method's own optimiser; None: any will do."""
        return None

    @classmethod
    def has_own_optimiser(cls) -> bool:
        """Whether it has one, whatever the settings say."""
        return cls.optimiser is not Method.optimiser
