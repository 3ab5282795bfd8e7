"""Our own file, which other tools also read: safetensors, float32, provenance in the metadata.

One tensor `[n, width]` per text encoder under ComfyUI's keys. That of a word for one CLIP alone is
under the token, as diffusers writes it and AUTOMATIC1111 and ComfyUI read it. Rows for each layer
of a denoiser are in the metadata, if there are also rows for all (`layered_rows`) and they are not
too many.
"""

from pseudoword.concept import Concept
from pseudoword.formats import keys, layered_rows, safetensors_file
from pseudoword.formats.layouts import ALL_ENCODERS, ENCODERS, LAYERED_ROWS
from pseudoword.formats.raw_content import PREFIX

LONGEST_LAYERS = safetensors_file.LARGEST_HEADER_NBYTES - (1 << 20)
"""The most bytes of rows for each layer in the metadata, so that the header is not too large."""


def dump(concept: Concept) -> bytes:
    """The bytes of the file; the same concept always gives the same bytes."""
    tensors = layered_rows.for_all(concept.vectors) or concept.vectors
    layers = layered_rows.as_text(concept.vectors) if len(tensors) < len(concept.vectors) else ""
    if len(layers) > LONGEST_LAYERS:
        tensors, layers = concept.vectors, ""  # other tools cannot read the file, but we can
    first, *others = tensors
    if not others and (first.startswith("clip_") or first not in keys.KNOWN):
        tensors = {concept.token: tensors[first]}
    metadata = {"format": "pt", ENCODERS: ",".join([first, *others])}
    if layers:
        metadata[LAYERED_ROWS] = layers
    return safetensors_file.write(tensors, metadata | metadata_of(concept))


def dump_part(concept: Concept, encoder: str) -> bytes:
    """The bytes of a file with one of the tensors, under the token, as diffusers has it."""
    metadata = {"format": "pt", ENCODERS: encoder} | metadata_of(concept)
    if len(concept.vectors) > 1:
        metadata[ALL_ENCODERS] = ",".join(concept.vectors)
    return safetensors_file.write({concept.token: concept.vectors[encoder]}, metadata)


def facts_of(concept: Concept) -> dict[str, str]:
    """What we write of a concept beside its rows and its token."""
    facts = concept.shared | {"method": concept.method}
    return facts | ({"family": concept.family} if concept.family else {})


def metadata_of(concept: Concept) -> dict[str, str]:
    """The metadata of a concept's file."""
    facts = facts_of(concept) | {"token": concept.token}
    return {f"{PREFIX}{key}": value for key, value in facts.items()}
