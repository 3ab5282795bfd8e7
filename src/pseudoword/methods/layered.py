"""Extended Textual Inversion (P+; Voynov et al. 2023, arXiv 2303.09522): rows for each layer.

Each cross-attention layer of the denoiser reads the prompt with rows of its own for the word: the
coarse layers learn its shape and the fine ones its colours and textures. Here they are rows for all
layers, and what each layer adds to them. In every second step nothing is added, so that the rows
for all are a word by themselves: the one that tools without layers read.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pseudoword.config.method import MethodSettings
from pseudoword.errors import ConceptError
from pseudoword.formats import layered_rows
from pseudoword.formats.keys import base_encoder, of_layer
from pseudoword.methods import norms
from pseudoword.methods.base import Initialisation, Method, Rows


class Layered(Method):
    """Free rows for each text encoder and layer; a word that is not layered begins all alike."""

    name = "layered"
    for_other_tools = (
        "pseudoword draws with its rows for each layer; other tools read those for all layers, "
        "which are in the same file"
    )
    goes_on_from_layers = True

    def __init__(self, start: Initialisation, settings: MethodSettings) -> None:
        if not start.layers:
            raise ConceptError(
                "--method layered needs a base model with cross-attention layers that can be told "
                "apart, and this one has none. Use --method classic."
            )
        self._layers = start.layers
        shared = layered_rows.for_all(start.rows) or layered_rows.mean(start.rows)
        self._added = {
            key: nn.Parameter(
                _added(
                    shared[key], [of_layer(start.rows, key, layer) for layer in self._layers]
                ).to(start.device)
            )
            for key in start.usual_norms
        }
        self._aims = norms.aims(shared, start.usual_norms, settings.norm, start.device)
        self._norm, self._pull = settings.norm, settings.norm_pull
        self.rate_unit = start.usual_number

    def parameters(self) -> list[nn.Parameter]:
        """One parameter `[1 + layers, n, width]` per text encoder.

        The first rows are for all layers; the others are what each layer adds to them.
        """
        return list(self._added.values())

    def reads_layers(self, step: int) -> bool:
        return step % 2 == 0

    def rows(self, step: int) -> Rows:
        return self._each() if self.reads_layers(step) else self._all()

    def word(self) -> dict[str, Tensor]:
        rows = self._all() | self._each()
        return {key: rows.detach().clone() for key, rows in rows.items()}

    @torch.no_grad()
    def constrain(self) -> None:
        for key, added in self._added.items():
            rows = torch.cat([added[:1], added[:1] + added[1:]])
            norms.control({key: rows}, self._aims, self._norm, self._pull)
            added.copy_(_added(rows[0], rows[1:]))

    def constrained(self, rows: Rows) -> dict[str, Tensor]:
        copy = {key: r.clone() for key, r in rows.items()}
        for key, r in copy.items():
            norms.control({base_encoder(key): r}, self._aims, self._norm, pull=0)
        return copy

    def _all(self) -> dict[str, Tensor]:
        return {key: added[0] for key, added in self._added.items()}

    def _each(self) -> dict[str, Tensor]:
        return {
            f"{key}.{layer}": added[0] + own
            for key, added in self._added.items()
            for layer, own in zip(self._layers, added[1:], strict=True)
        }


def _added(shared: Tensor, each: Sequence[Tensor] | Tensor) -> Tensor:
    """Rows for all layers `[n, width]`, and what each layer adds: `[1 + layers, n, width]`."""
    return torch.stack([shared, *(rows - shared for rows in each)]).float()
