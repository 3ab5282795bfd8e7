"""Textual Inversion as in Gal et al. 2022 (arXiv 2208.01618): the rows are the parameters."""

import torch
from torch import Tensor, nn

from pseudoword.config.method import MethodSettings
from pseudoword.methods import norms
from pseudoword.methods.base import Context, Initialisation, Method, Rows


class Classic(Method):
    """One or more free rows per text encoder, in float32 whatever the model's precision."""

    name = "classic"

    def __init__(self, start: Initialisation, settings: MethodSettings) -> None:
        first = start.plain_rows
        self._rows = {
            key: nn.Parameter(rows.detach().to(start.device, torch.float32, copy=True))
            for key, rows in first.items()
        }
        self._aims = norms.aims(first, start.usual_norms, settings.norm, start.device)
        self._norm, self._pull = settings.norm, settings.norm_pull
        self.rate_unit = start.usual_number

    def parameters(self) -> list[nn.Parameter]:
        """One parameter `[n, width]` per text encoder."""
        return list(self._rows.values())

    def rows(self, _context: Context) -> Rows:
        return self._rows

    def word(self) -> dict[str, Tensor]:
        return {key: rows.detach().clone() for key, rows in self._rows.items()}

    def constrain(self) -> None:
        norms.control(self._rows, self._aims, self._norm, self._pull)

    def constrained(self, rows: Rows) -> dict[str, Tensor]:
        copy = {key: r.clone() for key, r in rows.items()}
        # The mean of rows of one length is shorter than they.
        norms.control(copy, self._aims, self._norm, pull=0)
        return copy
