"""Layered words, which have rows for each layer of a denoiser, in formats that know no layers."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pseudoword.concept import Concept
from pseudoword.formats import keys
from pseudoword.formats.writers import WRITERS


def adapted(concept: Concept, name: str) -> tuple[Concept, str | None]:
    """`concept` as the format `name` can hold it, and what had to be changed for that, if anything.

    A layered word becomes an ordinary one where the format knows no layers.
    """
    if not keys.is_layered(concept.vectors) or WRITERS[name].refuses(concept) is None:
        return concept, None
    ordinary = mean_over_layers(concept)
    if WRITERS[name].refuses(ordinary) is not None:
        return concept, None
    return ordinary, (
        f"{concept.token}: {name} holds no layers, so it gets the mean of the rows for all "
        f"{len(keys.layers_in(concept.vectors))}"
    )


def mean_over_layers(concept: Concept) -> Concept:
    """An ordinary word of a layered one: the mean of its rows, as long as they are on average."""
    layers: dict[str, list[Tensor]] = {}
    for key, rows in concept.vectors.items():
        layers.setdefault(keys.base_encoder(key), []).append(rows)
    vectors = {}
    for encoder, each in layers.items():
        length = torch.stack([rows.norm(dim=-1, keepdim=True) for rows in each]).mean(0)
        vectors[encoder] = length * normalize(torch.stack(each).mean(0), dim=-1)
    said = {**concept.provenance, "layers": f"mean of {len(keys.layers_in(concept.vectors))}"}
    return replace(concept, vectors=vectors, provenance=said)
