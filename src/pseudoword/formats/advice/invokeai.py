"""What InvokeAI does with a file that is added to its models."""

from collections.abc import Mapping

from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import names
from pseudoword.formats.advice.shared import (
    convert_hint,
    encoders_of,
    holds_rows,
    is_dict,
    rename_hint,
    unsupported_model,
    unusable,
)
from pseudoword.formats.embedding_file import EmbeddingFile
from pseudoword.formats.grouping import embedding_tensors


def advise(file: EmbeddingFile, concept: Concept) -> str:
    """What happens to `concept` in the file."""
    hint = convert_hint(concept, "kohya")
    if file.is_picture:
        return f"reads no pictures{hint}"
    obstacle = (
        unusable(file, concept)
        or rename_hint(file, file.path.suffix, ".ckpt")
        or unsupported_model(file, concept)
    )
    if obstacle:
        return obstacle
    if not _is_known(file, concept):
        return f"does not recognise a file like this{hint}"
    trigger = names.for_invokeai(file.path.stem)
    if trigger is None:
        return "add it to the models, give it a name in plain letters, then write <the name>"
    return f"add it to the models, then write {trigger}"


def _is_known(file: EmbeddingFile, concept: Concept) -> bool:
    """Whether it recognises the file by itself, and then loads the concept from it."""
    items = file.raw.items
    if not is_dict(file) or "ParameterDict" in file.raw.quirks:
        return False
    rows = next(iter(concept.vectors.values()))
    if "string_to_param" in items or "string_to_token" in items:
        holder = items.get("string_to_param")
        first = next(iter(holder.values()), None) if isinstance(holder, Mapping) else None
        return "string_to_token" in items and holds_rows(first, rows, 2)
    if "emb_params" in items:
        return holds_rows(items["emb_params"], rows, 2)
    if set(items) == {"clip_g"}:  # it tells the model by the width, whatever the key says
        return holds_rows(items["clip_g"], rows, 2)
    if "clip_g" in items:
        by_key = encoders_of(embedding_tensors(file.raw))
        return by_key.get("clip_g") == "clip_g" and by_key.get("clip_l") == "clip_l"
    # in other small files it takes the first dimension of the first tensor for the width
    values = list(items.values())
    small = len(values) < 10 and all(isinstance(item, Tensor) for item in values)
    return small and len(concept.vectors) == 1 and holds_rows(values[0], rows, 1)
