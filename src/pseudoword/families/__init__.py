"""Families: how one kind of model reads text, encodes pictures and denoises.

Add one by adding a file here and a line to `FAMILIES`. diffusers and transformers are imported by
`load` only, so that naming the families costs nothing.
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path

from pseudoword.errors import BaseModelError
from pseudoword.families.base import Family, Source

FAMILIES: dict[str, tuple[str, frozenset[str]]] = {
    "sd": ("pseudoword.families.sd", frozenset({"StableDiffusionPipeline"})),
}
"""Family name -> the module with its `load`, and the diffusers pipelines it stands for."""

BUNDLED: Mapping[str, Path] = {"emoji": Path(__file__).parent.parent / "bundled" / "emoji"}
"""Base models that come with the package: name -> folder."""


def locate(base: str) -> tuple[Source, str]:
    """Find what `base` means and its family: a bundled name, a local folder, or a hub id.

    Raises:
        BaseModelError: there is no such model, or it is of a kind not known here.
    """
    path = BUNDLED.get(base, Path(base))
    if path.is_dir():
        index = path / "model_index.json"
        if not index.is_file():
            raise BaseModelError(
                f"{path} is no base model: it holds no model_index.json. Give a folder in "
                "diffusers' layout (with unet/, vae/, text_encoder/ …), a hub id, or 'emoji'."
            )
    elif path.exists():
        raise BaseModelError(
            f"{path} is a file; a base model is a folder in diffusers' layout or a hub id."
        )
    elif base.count("/") == 1 and not base.startswith((".", "/", "~")):
        index = _from_hub(base)
    else:
        raise BaseModelError(
            f"no base model {base!r}: no bundled model of that name "
            f"({', '.join(BUNDLED)}), no such folder, and not a hub id like 'owner/name'."
        )
    return Source(base, str(path) if path.is_dir() else base), _family(index, base)


def load(base: str, device: str = "auto", dtype: str = "auto") -> Family:
    """Load the base model `base`, frozen, ready to train words for or to draw with.

    Args:
        base: a bundled name (`emoji`), a folder in diffusers' layout, or a hub id.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps` …
        dtype: `auto`, `float32`, `bfloat16` or `float16`, of the frozen weights.

    Raises:
        BaseModelError: there is no such model, it cannot be loaded, or its kind is not known.
    """
    source, family = locate(base)
    module = importlib.import_module(FAMILIES[family][0])
    loaded: Family = module.load(source, *_placement(device, dtype))
    return loaded


def _family(index: Path, base: str) -> str:
    try:
        pipeline = json.loads(index.read_bytes())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BaseModelError(f"{base}: model_index.json is damaged ({error})") from error
    for family, (_, pipelines) in FAMILIES.items():
        if pipeline in pipelines:
            return family
    known = sorted(name for _, names in FAMILIES.values() for name in names)
    raise BaseModelError(f"{base} is a {pipeline}; known so far: {', '.join(known)}")


def _from_hub(base: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(base, "model_index.json"))
    except Exception as error:  # the hub's own errors, and any of its network library's
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BaseModelError(
            f"{base} is no local folder and could not be fetched from the hub: {reason}"
        ) from error


def _placement(device: str, dtype: str) -> tuple[str, str]:
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cpu" and torch.backends.mps.is_available():
            device = "mps"
    if dtype == "auto":
        dtype = "float32"
        if device.startswith("cuda"):
            dtype = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return device, dtype
