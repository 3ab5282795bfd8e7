"""Whether a word fits a base model, and what it fits if not."""

from collections.abc import Mapping

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats.keys import families_of
from pseudoword.models.family import Family

TITLES = {frozenset({"clip_l"}): "SD 1.x", frozenset({"clip_h"}): "SD 2.x"}
"""What people call the models behind encoders, where a family has several."""


def check_vector_count(token: str, vectors: int, family: Family) -> None:
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


def check_compatible(concept: Concept, family: Family) -> None:
    """See that `concept` has rows for exactly the text encoders of `family`, and not too many.

    Raises:
        ConceptError: it has not; the message names all widths, and what each side is for.
    """
    widths = {key: encoder.width for key, encoder in family.encoders.items()}
    if concept.widths == widths:
        check_vector_count(concept.token, max(map(len, concept.vectors.values())), family)
        return
    word, model = _model_title(concept.widths), _model_title(widths)
    raise ConceptError(
        f"{concept.token} does not fit {family.source.name}: the word{word} has "
        f"{_widths_text(concept.widths)}, the model{model} reads {_widths_text(widths)}. "
        "Use a base model of the kind it was learned for, or learn the word again on this one."
    )


def vocabulary(family: Family) -> set[str]:
    """All entries of the vocabularies of a model's text encoders."""
    return {entry for e in family.encoders.values() for entry in e.tokenizer.get_vocab()}


def _model_title(widths: Mapping[str, int]) -> str:
    found = families_of(widths)
    title = TITLES.get(frozenset(widths), " or ".join(found).upper())
    return f" ({title})" if found else ""


def _widths_text(widths: Mapping[str, int]) -> str:
    return " and ".join(f"{encoder} of width {width}" for encoder, width in widths.items())
