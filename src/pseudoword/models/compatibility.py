"""Whether a word fits a base model, and what it fits if not."""

from collections.abc import Mapping

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats.keys import families_of
from pseudoword.models.family import Family

TITLES = {frozenset({"clip_l"}): "SD 1.x", frozenset({"clip_h"}): "SD 2.x"}
"""What people call the models behind encoders, where a family has several."""


def check_room(token: str, vectors: int, family: Family) -> None:
    """See that so many vectors of a word fit into what the text encoders of `family` read.

    Raises:
        ConceptError: they do not.
    """
    room = min(encoder.room for encoder in family.encoders.values())
    if vectors > room:
        raise ConceptError(
            f"{token}: {vectors} vectors do not fit: the model reads {room} tokens of a prompt "
            f"({family.source.name}). A word for it needs fewer vectors."
        )


def check_fit(concept: Concept, family: Family) -> None:
    """See that `concept` has rows for exactly the text encoders of `family`, and not too many.

    Raises:
        ConceptError: it has not; the message names all widths, and what each side is for.
    """
    widths = {key: encoder.width for key, encoder in family.encoders.items()}
    if concept.widths == widths:
        check_room(concept.token, max(map(len, concept.vectors.values())), family)
        return
    raise ConceptError(
        f"{concept.token} does not fit {family.source.name}: the word{_kind(concept.widths)} has "
        f"{_listed(concept.widths)}, the model{_kind(widths)} reads {_listed(widths)}. "
        "Use a base model of the kind it was learned for, or learn the word again on this one."
    )


def vocabulary(family: Family) -> set[str]:
    """All entries of the vocabularies of a model's text encoders."""
    return {entry for e in family.encoders.values() for entry in e.tokenizer.get_vocab()}


def _kind(widths: Mapping[str, int]) -> str:
    found = families_of(widths)
    title = TITLES.get(frozenset(widths), " or ".join(found).upper())
    return f" ({title})" if found else ""


def _listed(widths: Mapping[str, int]) -> str:
    return " and ".join(f"{encoder} of width {width}" for encoder, width in widths.items())
