"""Layered concepts (rows for each layer of a denoiser) in formats that hold less."""

from dataclasses import replace

from pseudoword.concept import Concept
from pseudoword.formats import keys, layered_rows
from pseudoword.formats.writers import WRITERS


def adapted(concept: Concept, name: str) -> tuple[Concept, str | None]:
    """Adapt `concept` to the format `name`: an ordinary concept if the format has no layers.

    Returns:
        The concept, and a sentence that says what was left out; None if nothing was.
    """
    refuses = WRITERS[name].refuses
    if not keys.is_layered(concept.vectors) or refuses(concept) is None:
        return concept, None
    for_each = replace(concept, vectors=layered_rows.for_each(concept.vectors))
    if refuses(for_each) is None:
        return for_each, (
            f"{concept.token}: {name} holds the rows for each layer, and not those for all"
        )
    plain = ordinary(concept)
    if refuses(plain) is not None:
        return concept, None
    count = len(keys.layers_in(concept.vectors))
    has_shared = bool(layered_rows.for_all(concept.vectors))
    what = "rows for all layers alone" if has_shared else f"mean of the rows of all {count} layers"
    return plain, f"{concept.token}: {name} holds no layers, so it gets the {what}"


def for_other_tools(concept: Concept) -> Concept:
    """What tools without layers read of our file of `concept`: its rows for all, if it has any."""
    shared = layered_rows.for_all(concept.vectors)
    return replace(concept, vectors=shared) if shared else concept


def ordinary(concept: Concept) -> Concept:
    """A layered concept without layers: with its rows for all, or else their mean."""
    if layered_rows.for_all(concept.vectors):
        return for_other_tools(concept)
    count = len(keys.layers_in(concept.vectors))
    provenance = {**concept.provenance, "layers": f"mean of {count}"}
    return replace(concept, vectors=layered_rows.mean(concept.vectors), provenance=provenance)
