"""Words beside the one that is learned: prompts may have them, and they stay as they are.

A picture of a known thing in a learned style, or of a new hat on a learned head, can be described
with the words that there are, as in AUTOMATIC1111, which reads all embeddings in captions too.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pseudoword.concept import Concept
from pseudoword.formats import layered_rows
from pseudoword.models.family import Family
from pseudoword.models.reading.injection import Words
from pseudoword.placeholders import delimited


@dataclass(frozen=True)
class OtherWords:
    """The other words of a concept's prompts."""

    marks: Mapping[str, str] = field(default_factory=dict)
    """token -> placeholder that stands for it in a batch; words that are equal share one"""
    rows: Words = field(default_factory=dict)
    """placeholder -> rows, on the model's device"""


def placed(family: Family, concepts: Sequence[Concept]) -> OtherWords:
    """The words of `concepts` for the prompts of a batch.

    A layered word has the same rows for all layers here: else, each prompt of a batch in which it
    is would be read once for each layer.
    """
    marks = {concept.token: mark(concept) for concept in concepts}
    rows = {
        marks[concept.token]: {
            key: own.to(family.device) for key, own in layered_rows.for_all(concept.vectors).items()
        }
        for concept in concepts
    }
    return OtherWords(marks, rows)


def mark(concept: Concept) -> str:
    """The placeholder of a word in batches, by what its rows are."""
    digest = hashlib.sha256()
    for key, rows in sorted(concept.vectors.items()):
        digest.update(f"{key} {[*rows.shape]} ".encode())
        digest.update(rows.detach().cpu().contiguous().float().numpy().tobytes())
    return delimited(f"={digest.hexdigest()[:32]}")


def merged(several: Iterable[Words]) -> Words:
    """The words of several concepts, or batches."""
    return {placeholder: rows for words in several for placeholder, rows in words.items()}


def counts(concepts: Iterable[Concept]) -> dict[str, int]:
    """How many tokens each word takes in a prompt: token -> number."""
    return {concept.token: concept.length for concept in concepts}


def fingerprint(concepts: Sequence[Concept]) -> str:
    """A checksum of the words and what they are called."""
    named = sorted(f"{mark(concept)} {concept.token}" for concept in concepts)
    return hashlib.sha256("\n".join(named).encode()).hexdigest()
