"""Textual Inversion as in Gal et al. 2022 (arXiv 2208.01618): the rows are the parameters."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Classic:
    """One or more free rows per text encoder, in float32 whatever the model's precision."""

    name = "classic"

    def __init__(self, start: Mapping[str, Tensor], device: torch.device | None = None) -> None:
        """Begin at `start`: encoder key -> `[n, width]`."""
        self.rows = {
            encoder: nn.Parameter(rows.detach().to(device, torch.float32, copy=True))
            for encoder, rows in start.items()
        }

    def parameters(self) -> list[nn.Parameter]:
        """One parameter `[n, width]` per text encoder."""
        return list(self.rows.values())

    def vectors(self) -> Mapping[str, Tensor]:
        """The rows themselves."""
        return self.rows
