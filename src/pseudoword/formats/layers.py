"""Layered concepts (rows for each layer of a denoiser) in formats without layers."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pseudoword.concept import Concept
from pseudoword.formats import keys
from pseudoword.formats.writers import WRITERS


def adapted(concept: Concept, name: str) -> tuple[Concept, str | None]:
    """Adapt `concept` to the format `name`: an ordinary concept if the format has no layers.

    Returns:
        The concept, and a sentence that says what was changed; None if nothing was.
    """
    if not keys.is_layered(concept.vectors) or WRITERS[name].refuses(concept) is None:
        return concept, None
    ordinary = mean_over_layers(concept)
    if WRITERS[name].refuses(ordinary) is not None:
        return concept, None
    return ordinary, (
        f"{concept.token}: {name} holds no layers, so it gets the mean of the rows of all "
        f"{len(keys.layers_in(concept.vectors))} layers"
    )


def mean_over_layers(concept: Concept) -> Concept:
    """The mean of a layered concept's rows over the layers, scaled to their mean length."""
    layers: dict[str, list[Tensor]] = {}
    for key, rows in concept.vectors.items():
        layers.setdefault(keys.base_encoder(key), []).append(rows)
    vectors = {}
    for encoder, of_layers in layers.items():
        length = torch.stack([rows.norm(dim=-1, keepdim=True) for rows in of_layers]).mean(0)
        vectors[encoder] = length * normalize(torch.stack(of_layers).mean(0), dim=-1)
    provenance = {**concept.provenance, "layers": f"mean of {len(keys.layers_in(concept.vectors))}"}
    return replace(concept, vectors=vectors, provenance=provenance)
