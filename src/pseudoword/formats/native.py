"""Our own file, which other tools also read: safetensors, float32, provenance in the metadata.

One text encoder: a single tensor `[n, width]` under the token, as diffusers writes it and
AUTOMATIC1111 and ComfyUI read it. Several: one tensor per encoder under ComfyUI's keys.
"""

from pseudoword.concept import Concept
from pseudoword.formats import safetensors_file
from pseudoword.formats.layouts import PREFIX


def dump(concept: Concept) -> bytes:
    """The bytes of the file; the same concept always gives the same bytes."""
    vectors = dict(concept.vectors)
    metadata = {"format": "pt", f"{PREFIX}encoders": ",".join(vectors)} | metadata_of(concept)
    if len(vectors) == 1:
        vectors = {concept.token: next(iter(vectors.values()))}
    return safetensors_file.write(vectors, metadata)


def metadata_of(concept: Concept) -> dict[str, str]:
    """The metadata of a concept's file."""
    metadata = {f"{PREFIX}{key}": value for key, value in concept.shared.items()}
    metadata |= {f"{PREFIX}token": concept.token, f"{PREFIX}method": concept.method}
    if concept.family:
        metadata[f"{PREFIX}family"] = concept.family
    return metadata
