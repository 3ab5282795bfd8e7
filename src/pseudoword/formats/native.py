"""Our own file, which is also everybody's: safetensors, float32, provenance in the metadata.

One text encoder: a single tensor `[n, width]` under the token's name, as diffusers writes it and
AUTOMATIC1111 and ComfyUI read it. Several: one tensor per encoder under ComfyUI's keys.
"""

from pseudoword.concept import Concept
from pseudoword.formats import safetensors_file
from pseudoword.formats.layouts import OURS


def dump(concept: Concept) -> bytes:
    """The bytes of the file; the same concept always gives the same bytes."""
    vectors = dict(concept.vectors)
    metadata = {"format": "pt", f"{OURS}encoders": ",".join(vectors)} | described(concept)
    if len(vectors) == 1:
        vectors = {concept.token: next(iter(vectors.values()))}
    return safetensors_file.write(vectors, metadata)


def described(concept: Concept) -> dict[str, str]:
    """What a word's file says of it, as metadata."""
    said = {f"{OURS}{key}": value for key, value in concept.shared.items()}
    said |= {f"{OURS}token": concept.token, f"{OURS}method": concept.method}
    if concept.family:
        said[f"{OURS}family"] = concept.family
    return said
