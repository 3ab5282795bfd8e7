"""`inspect`: what an embedding file holds, and what fits it."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import Tensor
from torch.nn.functional import cosine_similarity

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats import sources
from pseudoword.formats.advice import advise
from pseudoword.formats.keys import base_encoder, is_output, read_by
from pseudoword.models import base_model
from pseudoword.models.compatibility import check_compatible, vocabulary
from pseudoword.models.family import Family
from pseudoword.models.reading.text_encoder import TextEncoder

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
    """whose tensor names it has: native, diffusers, a1111, kohya …"""
    others: list[str] = []
    """tokens of the file's other words"""
    fits: list[str] = []
    """the model families with these text encoders"""
    tools: dict[str, str] = {}
    """other tool -> what it does with the file"""
    vocabulary_norms: dict[str, float] | None = None
    """median norm of the base model's own tokens, per text encoder, if a base was given"""
    nearest: dict[str, list[list[Neighbour]]] | None = None
    """the base model's tokens nearest to each row by cosine, if a base was given"""
    provenance: dict[str, str]


def inspect_file(file: str | Path, base: str | Path | None, token: str | None) -> Inspection:
    """Describe an embedding file; the public `inspect`."""
    files = formats.read_files(sources.locate(file))
    holding = {concept.token: one for one in files for concept in one.concepts}
    first = files[0].concepts[0]
    concept = first if token is None else formats.select_concept(files, token)
    if concept.token not in holding:
        raise ConceptError(f"{file} holds one word, {first.token}, and none called {token}")
    content = holding[concept.token]
    inspection = Inspection(
        file=str(file),
        token=concept.token,
        family=concept.family,
        method=concept.method,
        encoders=concept.sizes,
        norms={key: rows.norm(dim=-1).tolist() for key, rows in concept.vectors.items()},
        container=content.container,
        layout=content.layout,
        others=[each for each in holding if each != concept.token],
        fits=list(read_by(concept.widths)) or [_of_these_widths(concept)],
        tools=advise(content, concept),
        provenance=dict(concept.provenance),
    )
    if base is None:
        return inspection
    family = base_model.load_named(base, "cpu")
    check_compatible(concept, family)
    tools = advise(content, concept, vocabulary(family))
    return inspection.model_copy(update={**_compared(concept, family), "tools": tools})


def _compared(concept: Concept, family: Family) -> dict[str, Any]:
    """The norms of the vocabulary, and its tokens near to each row."""
    encoders = {
        key: family.encoders[base_encoder(key)]
        for key in concept.vectors
        if base_encoder(key) in family.encoders and not is_output([key])  # these are no rows of it
    }
    return {
        "vocabulary_norms": {key: encoder.median_norm for key, encoder in encoders.items()},
        "nearest": {
            key: [_nearest(encoder, row) for row in concept.vectors[key]]
            for key, encoder in encoders.items()
        },
    }


def _of_these_widths(concept: Concept) -> str:
    """What fits a word whose widths are not those of any known family."""
    return f"{concept.family}, of these widths" if concept.family else "a model of these widths"


def _nearest(encoder: TextEncoder, row: Tensor) -> list[Neighbour]:
    cosines = cosine_similarity(encoder.table.float(), row, dim=-1)
    best = cosines.topk(min(NEAREST, len(cosines)))
    return [
        Neighbour(token=encoder.reader.tokenizer.decode([i]).strip(), cosine=round(c, 4))
        for i, c in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
