"""Our own file, which other tools also read: safetensors, float32, provenance in the metadata.

One tensor `[n, width]` per text encoder under ComfyUI's keys. That of a word for one CLIP alone is
under the token, as diffusers writes it and AUTOMATIC1111 and ComfyUI read it. Rows for each layer
of a denoiser are in the metadata, if there are also rows for all (`layered_rows`).
"""

from pseudoword.concept import Concept
from pseudoword.formats import keys, layered_rows, safetensors_file
from pseudoword.formats.layouts import ALL_ENCODERS, LAYERED_ROWS, PREFIX


def dump(concept: Concept) -> bytes:
    """The bytes of the file; the same concept always gives the same bytes."""
    tensors = layered_rows.for_all(concept.vectors) or concept.vectors
    first, *others = tensors
    if not others and (first.startswith("clip_") or first not in keys.KNOWN):
        tensors = {concept.token: tensors[first]}
    metadata = {"format": "pt", f"{PREFIX}encoders": ",".join([first, *others])}
    if len(tensors) < len(concept.vectors):
        metadata[LAYERED_ROWS] = layered_rows.as_text(concept.vectors)
    return safetensors_file.write(tensors, metadata | metadata_of(concept))


def dump_part(concept: Concept, encoder: str) -> bytes:
    """The bytes of a file with one of the tensors, under the token, as diffusers has it."""
    metadata = {"format": "pt", f"{PREFIX}encoders": encoder} | metadata_of(concept)
    if len(concept.vectors) > 1:
        metadata[ALL_ENCODERS] = ",".join(concept.vectors)
    return safetensors_file.write({concept.token: concept.vectors[encoder]}, metadata)


def metadata_of(concept: Concept) -> dict[str, str]:
    """The metadata of a concept's file."""
    metadata = {f"{PREFIX}{key}": value for key, value in concept.shared.items()}
    metadata |= {f"{PREFIX}token": concept.token, f"{PREFIX}method": concept.method}
    if concept.family:
        metadata[f"{PREFIX}family"] = concept.family
    return metadata
