"""What ComfyUI does with a file in `models/embeddings/`."""

from collections.abc import Mapping

from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import keys, names
from pseudoword.formats.advice.shared import TORCH_ENDINGS, convert_hint, holds_rows, unusable
from pseudoword.formats.embedding_file import EmbeddingFile
from pseudoword.formats.grouping import BUNDLE_PREFIX

ONLY_FOR = {frozenset({"qwen3_4b"}): "; FLUX.2 only: for Z-Image it does not look for words"}
"""Text encoders -> what to add where only some of their models find words."""


def advise(file: EmbeddingFile, concept: Concept) -> str:
    """What happens to `concept` in the file."""
    path = file.path
    hint = convert_hint(concept, "comfyui", "native")
    if file.is_picture:
        return f"reads no pictures{hint}"
    obstacle = unusable(file, concept)
    if obstacle:
        return obstacle
    if (file.container == "safetensors") != (path.suffix.lower() == ".safetensors"):
        ending = ".safetensors" if file.container == "safetensors" else ".pt"
        return f"goes by the file's ending: change it to {ending}"
    known = {encoder: keys.KNOWN.get(encoder) for encoder in concept.vectors}
    silent = [encoder for encoder, key in known.items() if key and not key.comfyui]
    if silent:
        models = " and ".join(
            keys.MODEL_FAMILIES[name].title for name in keys.families_of(concept.widths)
        )
        return (
            f"does not look for words in prompts for {models or ', '.join(silent)}, "
            f"though it knows the key {silent[0]}"
        )
    if not all(_is_loaded(file, encoder, rows) for encoder, rows in concept.vectors.items()):
        if len(file.concepts) > 1:
            return f"joins its words, or uses only one of them, without a warning{hint}"
        return f"does not find the rows of each text encoder{hint}"
    name = path.stem if path.suffix in (".safetensors", *TORCH_ENDINGS) else path.name
    written = names.for_comfyui(name)
    if written is None:
        return "may not find such a name in a prompt: give the file a name without spaces"
    use = f"copy into models/embeddings/, then write embedding:{written} and a space or a comma"
    return use + ONLY_FOR.get(frozenset(concept.vectors), "")


def _is_loaded(file: EmbeddingFile, encoder: str, rows: Tensor) -> bool:
    """Whether its loader finds `rows` for this text encoder."""
    raw = file.raw
    if file.layout == "paper":  # its second reader takes a block of float32 from the zip
        return len(file.concepts) == 1 and rows.shape[1] in (768, 1024)
    if "ParameterDict" in raw.quirks:
        return False
    if "string_to_param" in raw.items:
        holder = raw.items["string_to_param"]
        return isinstance(holder, Mapping) and holds_rows(next(iter(holder.values()), None), rows)
    if raw.form == "list":  # it joins dicts by width, as we do
        return any(holds_rows(tensor, rows) for tensor in raw.tensors.values())
    if raw.form != "dict":
        return False
    ends = (".string_to_param.*", f".{encoder}")
    bundle = {k: t for k, t in raw.tensors.items() if k.startswith(BUNDLE_PREFIX)}
    bundled = [t for k, t in bundle.items() if k.endswith(ends)]
    if encoder not in raw.items and bundled:  # it joins the embeddings of a LoRA
        return len(bundled) == 1 and holds_rows(bundled[0], rows)
    return holds_rows(raw.items.get(encoder, next(iter(raw.items.values()), None)), rows)
