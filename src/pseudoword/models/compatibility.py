"""Check that a concept and a base model are compatible."""

from collections.abc import Mapping, Sequence

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats.keys import (
    ALSO_READ_BY,
    MODEL_FAMILIES,
    base_encoder,
    families_of,
    is_layered,
    layers_in,
    likely_family,
)
from pseudoword.models.family import Family
from pseudoword.text import brief

SD_TITLES = {frozenset({"clip_l"}): "SD 1.x", frozenset({"clip_h"}): "SD 2.x"}
"""Usual names of models by their text encoders, where a family has several."""


def check_vector_count(token: str, vectors: int, family: Family) -> None:
    """Check that a prompt of `family` has room for this number of vectors.

    Raises:
        ConceptError: they do not.
    """
    max_tokens = min(encoder.reader.max_tokens for encoder in family.encoders.values())
    if vectors > max_tokens:
        raise ConceptError(
            f"{token}: {vectors} vectors do not fit: the model reads {max_tokens} tokens of a "
            f"prompt ({family.source.name}). A word for it needs fewer vectors."
        )


def check_compatible(concept: Concept, family: Family, *, whole: bool = False) -> None:
    """Check that `concept` has rows for the text encoders of `family`, and not too many.

    Args:
        concept: the word.
        family: the model.
        whole: whether it must have rows for exactly these. To be drawn, a word may lack some or
            have more, if it is of this family: see `partly_read`.

    Raises:
        ConceptError: it has not; the message names the widths and the model of both sides.
    """
    model = {key: encoder.width for key, encoder in family.encoders.items()}
    word = {base_encoder(key): width for key, width in concept.widths.items()}
    layered = is_layered(concept.vectors)
    per_layer = {f"{k}.{layer}": w for k, w in model.items() for layer in family.layers}
    fits = concept.widths in (per_layer, model | per_layer) if layered else word == model
    if fits or (not whole and not layered and _fits_in_part(concept, model, family.name)):
        _check_counts(concept)
        check_vector_count(concept.token, concept.length, family)
        return
    if layered and word == model:
        raise ConceptError(
            f"{concept.token} does not fit {family.source.name}: the word has rows for "
            f"{_layers_text(layers_in(concept.vectors))}, the model has "
            f"{_layers_text(family.layers)}. Use the base model it was learned for, or convert it "
            "to an ordinary word with `pseudoword convert`."
        )
    kinds = _model_title(word, concept.family), _model_title(model, family.name)
    raise ConceptError(
        f"{concept.token} does not fit {family.source.name}: the word{kinds[0]} has "
        f"{_widths_text(word)}, the model{kinds[1]} reads {_widths_text(model)}. "
        "Use a base model of the kind it was learned for, or learn the word again on this one."
    )


def remarks(concept: Concept, family: Family) -> list[str]:
    """What a user should know of a compatible word, a sentence each."""
    found = (partly_read(concept, family), read_otherwise(concept, family))
    return [said for said in found if said is not None]


def partly_read(concept: Concept, family: Family) -> str | None:
    """What is not read of a compatible word, or not read with it, as a sentence; None if all is."""
    own = {base_encoder(key) for key in concept.vectors}
    if unused := [key for key in own if key not in family.encoders]:
        return (
            f"{family.source.name} has no {' and no '.join(sorted(unused))}, so the rows of "
            f"{concept.token} for it are not used"
        )
    if without := [key for key in family.encoders if key not in own]:
        return (
            f"{concept.token} has no rows for {' and '.join(without)}, so there the prompt is read "
            "without it"
        )
    return None


def read_otherwise(concept: Concept, family: Family) -> str | None:
    """How the text was read when a word was learned here, as a sentence; None if as it is now."""
    facts = concept.provenance
    learned = facts.get("clip_skip", "1" if "base_fingerprint" in facts else "")
    if not learned or learned == str(family.source.clip_skip):
        return None
    return (
        f"{concept.token} was learned with --clip-skip {brief(learned)}, and this is --clip-skip "
        f"{family.source.clip_skip}: it may be less like what it was learned from"
    )


def _fits_in_part(concept: Concept, model: Mapping[str, int], family: str) -> bool:
    """Whether all rows fit that there are for encoders of the model, and other rows may be."""
    word = {base_encoder(key): width for key, width in concept.widths.items()}
    shared = word.keys() & model.keys()
    if not shared or any(word[key] != model[key] for key in shared):
        return False
    if shared == model.keys():  # such as SD 3 without its T5
        return concept.family == family
    return family in ALSO_READ_BY.get(frozenset(word), ())


def _check_counts(concept: Concept) -> None:
    """Check that a layered concept has the same number of rows for each layer."""
    counts = {(base_encoder(key), len(rows)) for key, rows in concept.vectors.items()}
    if len(counts) > len({key for key, _ in counts}):
        raise ConceptError(f"{concept.token} has more rows for some layers than for others")


def _layers_text(layers: Sequence[str]) -> str:
    shown = ", ".join(layers) if len(layers) < 4 else f"{layers[0]} to {layers[-1]}"
    return f"{len(layers)} layers ({shown})" if layers else "none that can be used separately"


def vocabulary(family: Family) -> set[str]:
    """All entries in the vocabularies of a model's text encoders."""
    return {entry for e in family.encoders.values() for entry in e.reader.tokenizer.get_vocab()}


def _model_title(widths: Mapping[str, int], family: str | None) -> str:
    """What people call models with text encoders of these widths, or those of `family`."""
    families = families_of(widths)
    if not families:
        return ""
    own = family if family in families else likely_family(widths)
    titles = [MODEL_FAMILIES[name].title for name in ([own] if own else families)]
    return f" ({SD_TITLES.get(frozenset(widths), ' or '.join(titles))})"


def _widths_text(widths: Mapping[str, int]) -> str:
    return " and ".join(f"{encoder} of width {width}" for encoder, width in widths.items())
