"""What OneTrainer does with a file that it gets as a base embedding, to continue its training."""

from pseudoword.concept import Concept
from pseudoword.formats import keys
from pseudoword.formats.advice.shared import convert_hint, holds_rows, is_dict, unusable
from pseudoword.formats.embedding_file import EmbeddingFile

TRAINED = (
    *({"clip_l"}, {"clip_h"}, {"clip_g"}, {"clip_l", "clip_g"}, {"clip_l", "t5xxl"}, {"t5xxl"}),
    *({"clip_l", "clip_g", "t5xxl"}, {"clip_l", "clip_g", "t5xxl", "llama"}),
    *({"clip_l", "llama"}, {"gemma2_2b"}),
)
"""The text encoders of each model that it trains embeddings for."""

UNTRAINED = {"lumina2"}
"""Families whose text encoders are those of one that it trains embeddings for."""


def advise(file: EmbeddingFile, concept: Concept) -> str:
    """What happens to `concept` in the file."""
    hint = convert_hint(concept, "onetrainer")
    plain = {keys.base_encoder(key): key for key in concept.vectors}
    untrained = concept.family in UNTRAINED or set(plain) not in TRAINED
    if untrained or keys.is_layered(concept.vectors):
        return "trains no embeddings for these models"
    if file.is_picture:
        return f"reads no pictures{hint}"
    output = keys.is_output(concept.vectors)
    obstacle = None if output else unusable(file, concept)
    if obstacle:
        return obstacle
    if not is_dict(file) or "ParameterDict" in file.raw.quirks:
        return f"needs its own keys{hint}"
    names = keys.onetrainer_keys(plain)
    for encoder, key in plain.items():
        tensor = file.raw.items.get(names[encoder] + key.removeprefix(encoder))
        if not holds_rows(tensor, concept.vectors[key], 2):
            return f"needs its own keys{hint}"
    kind = "base embedding, as an output embedding," if output else "base embedding"
    return f"choose it as the {kind} and type a placeholder"
