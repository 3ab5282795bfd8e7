"""Check that a concept and a base model are compatible."""

from collections.abc import Mapping, Sequence

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats.keys import (
    TITLES,
    base_encoder,
    families_of,
    is_layered,
    layers_in,
    likely_family,
)
from pseudoword.models.family import Family

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


def check_compatible(concept: Concept, family: Family) -> None:
    """Check that `concept` has rows for exactly the text encoders of `family`, and not too many.

    Raises:
        ConceptError: it has not; the message names the widths and the model of both sides.
    """
    model = {key: encoder.width for key, encoder in family.encoders.items()}
    word = {base_encoder(key): width for key, width in concept.widths.items()}
    layered = is_layered(concept.vectors)
    per_layer = {f"{k}.{layer}": w for k, w in model.items() for layer in family.layers}
    if concept.widths == (per_layer if layered else model):
        _check_counts(concept)
        check_vector_count(concept.token, max(map(len, concept.vectors.values())), family)
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
    titles = [TITLES[name] for name in ([own] if own else families)]
    return f" ({SD_TITLES.get(frozenset(widths), ' or '.join(titles))})"


def _widths_text(widths: Mapping[str, int]) -> str:
    return " and ".join(f"{encoder} of width {width}" for encoder, width in widths.items())
