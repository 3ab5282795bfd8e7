"""Extended Textual Inversion (P+; Voynov et al. 2023, arXiv 2303.09522): rows for each layer.

Each cross-attention layer of the denoiser reads the prompt with rows of its own for the word: the
coarse layers learn its shape and the fine ones its colours and textures.
"""

import torch
from torch import Tensor, nn

from pseudoword.config.method import MethodSettings
from pseudoword.errors import ConceptError
from pseudoword.formats.keys import of_layer
from pseudoword.methods import norms
from pseudoword.methods.base import Context, Initialisation, Method, Rows


class Layered(Method):
    """Free rows for each text encoder and layer; a word that is not layered begins all alike."""

    name = "layered"
    for_other_tools = (
        "only pseudoword uses a word with rows for each layer; `pseudoword convert` makes an "
        "ordinary one of it, and of SD 1's also a file for kohya's XTI script (--format xti)"
    )

    def __init__(self, start: Initialisation, settings: MethodSettings) -> None:
        if not start.layers:
            raise ConceptError(
                "--method layered needs a base model with cross-attention layers that can be told "
                "apart, and this one has none. Use --method classic."
            )
        self._layers = start.layers
        rows = self._stacked(start.rows, list(start.usual_norms))
        self._rows = {
            key: nn.Parameter(r.detach().to(start.device, torch.float32, copy=True))
            for key, r in rows.items()
        }
        self._aims = norms.aims(rows, start.usual_norms, settings.norm, start.device)
        self._norm, self._pull = settings.norm, settings.norm_pull
        self.rate_unit = start.usual_number

    def parameters(self) -> list[nn.Parameter]:
        """One parameter `[layers, n, width]` per text encoder."""
        return list(self._rows.values())

    def rows(self, _context: Context) -> Rows:
        return self._by_layer(self._rows)

    def word(self) -> dict[str, Tensor]:
        return {key: rows.detach().clone() for key, rows in self._by_layer(self._rows).items()}

    def constrain(self) -> None:
        norms.control(self._rows, self._aims, self._norm, self._pull)

    def constrained(self, rows: Rows) -> dict[str, Tensor]:
        stacked = self._stacked(rows, list(self._rows))
        norms.control(stacked, self._aims, self._norm, pull=0)
        return self._by_layer(stacked)

    def _stacked(self, rows: Rows, encoders: list[str]) -> dict[str, Tensor]:
        """A copy with all layers of a text encoder in one tensor, `[layers, n, width]`."""
        return {
            key: torch.stack([of_layer(rows, key, layer) for layer in self._layers])
            for key in encoders
        }

    def _by_layer(self, rows: Rows) -> dict[str, Tensor]:
        return {
            f"{key}.{layer}": r[i]
            for key, r in rows.items()
            for i, layer in enumerate(self._layers)
        }
