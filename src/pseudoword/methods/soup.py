"""A uniform soup (Wortsman et al. 2022, arXiv 2203.05482): the mean of what was learned apart.

How a word turns out is in part which noise it met. Words that begin alike and meet other noise
agree on what the pictures have in common; the mean keeps that, and loses much of the rest.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pseudoword.methods import Method


class Soup:
    """Several methods as one, whose rows are their mean."""

    def __init__(self, ingredients: Sequence[Method]) -> None:
        self.name = ingredients[0].name
        self._ingredients = ingredients

    def parameters(self) -> list[nn.Parameter]:
        """Those of all ingredients."""
        return [parameter for one in self._ingredients for parameter in one.parameters()]

    def vectors(self) -> Mapping[str, Tensor]:
        """The mean of the ingredients' rows."""
        each = [one.vectors() for one in self._ingredients]
        return {key: torch.stack([rows[key] for rows in each]).mean(0) for key in each[0]}
