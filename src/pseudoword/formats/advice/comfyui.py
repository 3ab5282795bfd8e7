"""What ComfyUI does with a file in `models/embeddings/`."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.formats import Content, names
from pseudoword.formats.advice.shared import PICTURES, TORCH_ENDINGS, convert, no_word

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
    if "ParameterDict" in loose.odd:  # its second reader takes a block of float32 out of the zip
        return len(content.concepts) == 1 and rows.shape[1] in (768, 1024)
    found: object = None
    holder = loose.items.get("string_to_param")
    if isinstance(holder, Mapping):
        found = next(iter(holder.values()), None)
    elif loose.form == "list":  # puts dicts together by width, as is done here
        found = next((t for t in loose.tensors.values() if t.shape[-1] == rows.shape[1]), None)
    elif loose.form == "dict":
        key = KEYS.get(encoder, encoder)
        bundled = [t for k, t in loose.tensors.items() if _is_bundled(k, key)]
        found = loose.items.get(key)
        if found is None:
            found = torch.cat(bundled) if bundled else next(iter(loose.items.values()), None)
    if not isinstance(found, Tensor) or found.ndim not in (1, 2):
        return False
    return torch.equal(found.detach().float().reshape(-1, found.shape[-1]), rows)


def _is_bundled(name: str, key: str) -> bool:
    return name.startswith("bundle_emb.") and name.endswith((".string_to_param.*", f".{key}"))
