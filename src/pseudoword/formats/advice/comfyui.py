"""What ComfyUI does with a file in `models/embeddings/`."""

from collections.abc import Mapping

from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import Content, names
from pseudoword.formats.advice.shared import PICTURES, TORCH_ENDINGS, are, convert, no_word

KEYS = {"clip_h": "clip_l"}
"""The key that it looks for, where that is not our name for the encoder."""


def outlook(content: Content, word: Concept) -> str:
    """What happens to `word` in the file."""
    path = content.path
    into = convert(word, "comfyui", "native")
    if content.container in PICTURES:
        return f"reads no pictures{into}"
    hopeless = no_word(content, word)
    if hopeless:
        return hopeless
    if (content.container == "safetensors") != (path.suffix.lower() == ".safetensors"):
        right = ".safetensors" if content.container == "safetensors" else ".pt"
        return f"goes by the ending: call the file {right}"
    if not all(_is_found(content, encoder, rows) for encoder, rows in word.vectors.items()):
        if len(content.concepts) > 1:
            return f"puts its words together or takes one only, silently{into}"
        return f"does not find the rows of each text encoder{into}"
    name = path.stem if path.suffix in (".safetensors", *TORCH_ENDINGS) else path.name
    written = names.for_comfyui(name)
    if written is None:
        return "may not find such a name in a prompt: give the file one without blanks"
    return f"copy into models/embeddings/, then write embedding:{written} and a blank or a comma"


def _is_found(content: Content, encoder: str, rows: Tensor) -> bool:
    """Whether `rows` are what its loader finds for a text encoder."""
    loose = content.loose
    if content.layout == "paper":  # its second reader takes a block of float32 out of the zip
        return len(content.concepts) == 1 and rows.shape[1] in (768, 1024)
    if "ParameterDict" in loose.odd:
        return False
    if "string_to_param" in loose.items:
        holder = loose.items["string_to_param"]
        return isinstance(holder, Mapping) and are(next(iter(holder.values()), None), rows)
    if loose.form == "list":  # it puts dicts together by width, as is done here
        return any(are(tensor, rows) for tensor in loose.tensors.values())
    if loose.form != "dict":
        return False
    key = KEYS.get(encoder, encoder)
    bundled = [t for k, t in loose.tensors.items() if _is_bundled(k, key)]
    if key not in loose.items and bundled:  # it puts the words of a LoRA together
        return len(bundled) == 1 and are(bundled[0], rows)
    return are(loose.items.get(key, next(iter(loose.items.values()), None)), rows)


def _is_bundled(name: str, key: str) -> bool:
    return name.startswith("bundle_emb.") and name.endswith((".string_to_param.*", f".{key}"))
