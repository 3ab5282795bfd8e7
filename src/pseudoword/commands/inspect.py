"""What a concept file holds, and which base models are at hand."""

import json
from pathlib import Path

from pydantic import BaseModel
from torch import Tensor
from torch.nn.functional import cosine_similarity

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice
from pseudoword.errors import ConceptError
from pseudoword.formats import sources
from pseudoword.formats.advice import advise
from pseudoword.formats.keys import families_of
from pseudoword.models import base_model
from pseudoword.models.compatibility import check_compatible, vocabulary
from pseudoword.models.text_encoder import TextEncoder

NEAREST = 5


class Neighbour(BaseModel):
    """A vocabulary token near a row."""

    token: str
    cosine: float


class Inspection(BaseModel):
    """A concept file, described. Lists have one entry per row."""

    file: str
    token: str
    family: str | None
    method: str
    encoders: dict[str, tuple[int, int]]
    """[vectors, width] per text encoder, under ComfyUI's keys"""
    norms: dict[str, list[float]]
    container: str = "safetensors"
    """safetensors, torch, chunk (a PNG's text) or pixels (hidden in a picture)"""
    layout: str = "native"
    """whose names are in it: native, diffusers, a1111, kohya …"""
    others: list[str] = []
    """tokens of the file's other words"""
    fits: list[str] = []
    """the model families that read a word of these encoders"""
    tools: dict[str, str] = {}
    """what will happen to the file in other tools"""
    vocabulary_norms: dict[str, float] | None = None
    """median norm of the base's own tokens, if a base was given"""
    nearest: dict[str, list[list[Neighbour]]] | None = None
    """the base's tokens nearest to each row by cosine, if a base was given"""
    provenance: dict[str, str]


class Base(BaseModel):
    """A base model known by name."""

    name: str
    path: str
    family: str
    licence: str


def inspect_file(file: str | Path, base: str | None, token: str | None = None) -> Inspection:
    """Describe `file`; with `base`, also beside that model's vocabulary.

    Of several words the one called `token` is described, or the first.

    Raises:
        ConceptError: no concept, or one that does not fit `base`.
        BaseModelError: `base` cannot be loaded.
    """
    content = formats.read_file(sources.locate(file))
    concept = formats.select_concept(content, token) if token else content.concepts[0]
    if concept.token not in {one.token for one in content.concepts}:
        raise ConceptError(
            f"{file} holds one word, {content.concepts[0].token}, and none called {token}"
        )
    seen = Inspection(
        file=str(file),
        token=concept.token,
        family=concept.family,
        method=concept.method,
        encoders={key: (len(rows), rows.shape[1]) for key, rows in concept.vectors.items()},
        norms={key: rows.norm(dim=-1).tolist() for key, rows in concept.vectors.items()},
        container=content.container,
        layout=content.layout,
        others=[
            c.token for c in content.concepts if c is not concept and len(content.concepts) > 1
        ],
        fits=list(families_of(concept.widths)) or [_of_these_widths(concept)],
        tools=advise(content, concept),
        provenance=dict(concept.provenance),
    )
    if base is None:
        return seen
    family = base_model.load_named(base, "cpu")
    check_compatible(concept, family)
    nearest = {
        key: [_nearest(family.encoders[key], row) for row in rows]
        for key, rows in concept.vectors.items()
    }
    tools = advise(content, concept, vocabulary(family))
    usual = {key: encoder.usual_norm for key, encoder in family.encoders.items()}
    more = {"vocabulary_norms": usual, "nearest": nearest, "tools": tools}
    return seen.model_copy(update=more)


def _of_these_widths(concept: Concept) -> str:
    """What fits a word whose widths are of no model known here."""
    return f"{concept.family}, of these widths" if concept.family else "a model of these widths"


def _nearest(encoder: TextEncoder, row: Tensor) -> list[Neighbour]:
    cosines = cosine_similarity(encoder.table.float(), row, dim=-1)
    best = cosines.topk(min(NEAREST, len(cosines)))
    return [
        Neighbour(token=encoder.tokenizer.decode([i]).strip(), cosine=round(c, 4))
        for i, c in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def known_bases() -> list[Base]:
    """The bundled models, read from their folders."""
    found = []
    for name, path in base_model.BUNDLED.items():
        family = base_model.detect(BaseChoice(base=name)).family
        card = json.loads((path / "model_index.json").read_bytes())
        licence = card.get("licence", "Apache-2.0 (weights); see ATTRIBUTION.md for the artwork")
        found.append(Base(name=name, path=str(path), family=family, licence=licence))
    return found
