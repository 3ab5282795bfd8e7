"""Families: how one kind of model reads text, encodes pictures and denoises.

Add one by adding a file here and a line to `FAMILIES`. diffusers and transformers are imported
when a model is loaded only, so that naming the families costs nothing.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudoword import lookup
from pseudoword.config import BaseChoice, DType, Prediction
from pseudoword.errors import BaseModelError
from pseudoword.lookup import HubId
from pseudoword.models.family import Family
from pseudoword.models.injection import Reader
from pseudoword.models.loading import folder, single_file_configs
from pseudoword.models.loading.header import Header, read_header
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.loading.recognition import describe_file, describe_folder
from pseudoword.models.loading.source import BaseSource, Placement
from pseudoword.text import brief, reason

FAMILIES: dict[str, str] = {
    "sd": "pseudoword.models.families.sd:StableDiffusion",
    "sdxl": "pseudoword.models.families.sdxl:StableDiffusionXL",
}
"""Family name -> its class."""

BUNDLED: Mapping[str, Path] = {"emoji": Path(__file__).parent.parent / "bundled" / "emoji"}
"""Base models that come with the package: name -> folder."""

MOST_CHANNELS = 64
"""A U-Net takes 4 for latents, and 5 more for a masked picture."""


@dataclass(frozen=True)
class Detected:
    """What a base model turned out to be."""

    family: str
    recognised_by: str
    """what it was told by"""
    source: BaseSource


def detect(choice: BaseChoice) -> Detected:
    """Find what the base of `choice` is: a bundled name, a folder, a file, or a hub id.

    Raises:
        BaseModelError: there is no such model, or it is of a kind not known here; the message
            says what it is instead.
    """
    base = choice.base
    path = lookup.find(base, "--base", bundled=BUNDLED, error=BaseModelError)
    one_file = isinstance(path, Path) and path.is_file()
    for name, given, apt in (
        ("--variant", choice.variant, not one_file),
        ("--configs", choice.configs, one_file),
    ):
        if given is not None and not apt:
            raise BaseModelError(
                f"{name} {brief(str(given))} has no effect with --base {brief(base)}, which is "
                f"{'one file' if one_file else 'no single file'}. Leave it out."
            )
    revision = None
    if path is None:
        raise BaseModelError(
            f"no base model {brief(base)}: no bundled model of that name ({', '.join(BUNDLED)}), "
            "no such folder or file, and not a hub id like 'owner/name'."
        )
    if isinstance(path, HubId):
        where, revision = path.repository, path.revision
        index = _from_hub(base, where, revision)
    elif path.is_dir():
        index = path / "model_index.json"
        if not index.is_file():
            raise BaseModelError(
                f"{path} {describe_folder(path)}: it holds no model_index.json. Give a folder in "
                "diffusers' layout (with unet/, vae/, text_encoder/ …), a checkpoint, a hub id, "
                "or 'emoji'."
            )
        where = str(path)
    elif path.is_file():
        return _detect_single_file(path, choice)
    else:
        raise BaseModelError(f"{path} is neither a file nor a folder, so it is no base model")
    changes = {} if choice.prediction == "auto" else {"prediction_type": choice.prediction}
    source = BaseSource(base, where, revision, choice.variant, scheduler=changes)
    family, pipeline = _family_of_pipeline(index, base)
    return Detected(family, f"diffusers' layout with a {pipeline}", source)


def load(
    choice: BaseChoice, *, checkpointing: bool = False, offload: bool = False, empty: bool = False
) -> Family:
    """Load the base model that `choice` means, frozen, ready to train words for or to draw with.

    Args:
        choice: which model, and how it is kept.
        checkpointing: compute activations again in the backward pass instead of keeping them.
        offload: keep parts in main memory, but for the time they are at work in a drawing.
        empty: make it of its configs alone, on the meta device: shapes without numbers.

    Raises:
        BaseModelError: there is no such model, it cannot be loaded, or its kind is not known.
        SettingsError: there is no such device.
    """
    place = placement(choice, checkpointing, offload, empty)
    return build(detect(choice), place)


def build(found: Detected, place: Placement) -> Family:
    """Load a base model that has been told apart, as `place` says.

    Raises:
        BaseModelError: it cannot be loaded.
    """
    kind = _class_of(found.family)
    loaded: Family = kind(found.source, place)
    return loaded


def resolution_of(choice: BaseChoice) -> tuple[int, int]:
    """The resolution of the base model that `choice` means, and what sides are multiples of.

    Raises:
        BaseModelError: there is no such model, or its kind is not known.
    """
    kind, parts = _class_and_parts(choice)
    found: tuple[int, int] = kind.resolution_of(parts)
    return found


def readers(choice: BaseChoice) -> list[Reader]:
    """How the text encoders of the base model that `choice` means read, without their weights.

    Raises:
        BaseModelError: there is no such model, or its kind is not known.
    """
    kind, parts = _class_and_parts(choice)
    found: list[Reader] = kind.readers(parts)
    return found


def _class_and_parts(choice: BaseChoice) -> tuple[Any, ModelParts]:
    """The class of a base model, and its parts, none of them loaded."""
    found = detect(choice)
    kind = _class_of(found.family)
    return kind, ModelParts(found.source, placement(choice), kind.pipeline)


def load_named(base: str, device: str = "auto", dtype: DType = "auto") -> Family:
    """As `load`, for a base model and its place alone."""
    return load(BaseChoice.check(base=base, device=device, dtype=dtype))


def _class_of(family: str) -> Any:
    module, _, name = FAMILIES[family].partition(":")
    return getattr(importlib.import_module(module), name)


def _family_of_pipeline(index: Path, base: str) -> tuple[str, str]:
    """The family, and the pipeline of diffusers that the model says it is for."""
    pipeline = folder.read(index).get("_class_name")
    if not isinstance(pipeline, str):
        raise BaseModelError(f"{base}: model_index.json is damaged (it names no pipeline)")
    known: set[str] = set()
    for family in FAMILIES:
        kind = _class_of(family)
        if pipeline in {kind.pipeline, kind.inpainting}:
            return family, pipeline
        known |= {kind.pipeline, kind.inpainting}
    raise BaseModelError(f"{base} is a {pipeline}; known so far: {', '.join(sorted(known))}")


def _detect_single_file(path: Path, choice: BaseChoice) -> Detected:
    """A checkpoint under its authors' own key names, with the configs it leaves out."""
    found = read_header(path)
    for family in FAMILIES:
        layout = _class_of(family).layout_of(found)
        if layout is not None:
            break
    else:
        raise BaseModelError(f"{path} is no base model: it {describe_file(found)}.")
    scheduler = _scheduler_changes(found, choice.prediction)
    if choice.configs is not None:
        lookup.find(choice.configs, "--configs", error=BaseModelError)
        configs = choice.configs
        if not (configs / "model_index.json").is_file():
            raise BaseModelError(f"--configs {configs} is no folder in diffusers' layout")
    else:
        channels = _channels(found, path)
        configs = single_file_configs.folder(layout, {"unet": {"in_channels": channels}})
    recognised_by = (
        f"a single-file checkpoint with the keys of {layout}, text width {found.text_width}"
    )
    source = BaseSource(choice.base, str(path), layout=str(configs), scheduler=scheduler)
    return Detected(family, recognised_by, source)


def _channels(found: Header, path: Path) -> int:
    """How many channels the U-Net of a single file takes."""
    shape = found.shapes.get("model.diffusion_model.input_blocks.0.0.weight", ())
    if len(shape) != 4 or not 1 <= shape[1] <= MOST_CHANNELS:
        raise BaseModelError(
            f"{path} has no first layer that takes latents, so its U-Net is none that is known"
        )
    return shape[1]


def _scheduler_changes(found: Header, prediction: Prediction) -> dict[str, Any]:
    """What a single file says of its diffusion process: by marker keys, or ModelSpec metadata."""
    changes: dict[str, Any] = {}
    told = found.metadata.get("modelspec.prediction_type", "")
    if "v_pred" in found.shapes or told in {"v", "v_prediction"}:
        changes["prediction_type"] = "v_prediction"
    elif told == "epsilon":
        changes["prediction_type"] = "epsilon"
    if "ztsnr" in found.shapes:
        changes["rescale_betas_zero_snr"] = True
    if prediction != "auto":
        changes["prediction_type"] = prediction
    return changes


def _from_hub(base: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, "model_index.json", revision=revision))
    except Exception as error:  # the hub's own errors, and any of its network library's
        raise BaseModelError(
            f"{base} is no local folder or file, and could not be fetched from the hub: "
            f"{reason(error)}"
        ) from error


def placement(
    choice: BaseChoice, checkpointing: bool = False, offload: bool = False, empty: bool = False
) -> Placement:
    """Where and how the model of `choice` is kept; `auto` is decided by what is at hand.

    Raises:
        SettingsError: there is no such device.
    """
    import torch

    from pseudoword.models.loading import devices

    device, dtype = devices.device(choice.device), choice.dtype
    if dtype == "auto":
        dtype = "float32"
        if device.type == "cuda":
            dtype = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    home = torch.device("meta") if empty else device
    return Placement(home, getattr(torch, dtype), choice.quantize, checkpointing, offload)
