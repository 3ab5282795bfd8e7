"""Textual Inversion as in Gal et al. 2022 (arXiv 2208.01618): the rows are the parameters."""

import torch
from torch import Tensor, nn

from pseudoword.config.method import MethodSettings
from pseudoword.methods import norms
from pseudoword.methods.base import Initialisation, Method, Rows


class Classic(Method):
    """One or more free rows per text encoder, in float32 whatever the model's precision."""

    name = "classic"

    def __init__(self, start: Initialisation, settings: MethodSettings) -> None:
        first = start.plain_rows
        self._scales = {key: start.scales.get(key, 1.0) for key in first}
        self._parameters = {
            key: nn.Parameter(
                rows.detach().to(start.device, torch.float32, copy=True) / self._scales[key]
            )
            for key, rows in first.items()
        }
        self._aims = norms.aims(first, start.usual_norms, settings.norm, start.device)
        self._norm, self._pull = settings.norm, settings.norm_pull
        self.rate_unit = start.usual_number

    def parameters(self) -> list[nn.Parameter]:
        """One parameter `[n, width]` per text encoder: its rows, divided by the encoder's scale.

        One learning rate then suits all, with any optimiser.
        """
        return list(self._parameters.values())

    def rows(self, _step: int) -> Rows:
        return {key: _scaled(p, self._scales[key]) for key, p in self._parameters.items()}

    def word(self) -> dict[str, Tensor]:
        return {key: p.detach() * self._scales[key] for key, p in self._parameters.items()}

    def constrain(self) -> None:
        aims = {key: aim / self._scales[key] for key, aim in self._aims.items()}
        norms.control(self._parameters, aims, self._norm, self._pull)

    def constrained(self, rows: Rows) -> dict[str, Tensor]:
        copy = {key: r.clone() for key, r in rows.items()}
        # The mean of rows of one length is shorter than they.
        norms.control(copy, self._aims, self._norm, pull=0)
        return copy


def _scaled(rows: Tensor, scale: float) -> Tensor:
    return rows if scale == 1 else rows * scale
