"""Find a base model, and say which family it is of."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pseudoword import hub, imports
from pseudoword.config import BaseChoice
from pseudoword.errors import BaseModelError
from pseudoword.lookup import HubId
from pseudoword.models.families import FAMILIES, load_class
from pseudoword.models.loading import folder, single_file_configs
from pseudoword.models.loading.header import Header, read_header
from pseudoword.models.loading.recognition import (
    EDM,
    SCALED,
    describe_file,
    describe_folder,
    from_text,
    transformer_of,
)
from pseudoword.models.loading.source import BaseSource
from pseudoword.text import brief, reason

MOST_CHANNELS = 64
"""A U-Net takes 4 channels of latents; for inpainting 5 more."""


@dataclass(frozen=True)
class Detected:
    """What kind of base model was found."""

    family: str
    recognised_by: str
    """how its family was recognised"""
    source: BaseSource


def detect(choice: BaseChoice) -> Detected:
    """Find the base model of `choice`: a bundled name, a folder, a file, or a hub id.

    Raises:
        BaseModelError: there is no such model, or its kind is not supported; the message says
            what it is instead.
    """
    place = choice.base_place()
    if isinstance(place, Path) and place.is_file():
        found = _detect_single_file(place, choice)
    else:
        found = _detect_pipeline(place, choice)
    return replace(found, source=replace(found.source, clip_skip=choice.clip_skip))


def _detect_pipeline(place: Path | HubId, choice: BaseChoice) -> Detected:
    """A model in diffusers' layout, in a folder or on the hub."""
    _refuse_option("--configs", choice.configs, choice.base, "no single file")
    path, revision, index = _whole_model(place, choice.base)
    family, pipeline = _family_of_pipeline(index, choice.base)
    changes = _asked_changes(choice)
    source = BaseSource(choice.base, path, revision, choice.variant, scheduler=changes)
    return Detected(family, f"diffusers' layout with a {pipeline}", source)


def _whole_model(place: Path | HubId, name: str) -> tuple[str, str | None, Path]:
    """A model in diffusers' layout: folder or hub id, its revision, and its `model_index.json`."""
    if isinstance(place, HubId):
        return place.repository, place.revision, _fetch_index(name, place)
    return str(place), None, _index_of(place)


def _asked_changes(choice: BaseChoice) -> dict[str, Any]:
    """What the user wants to have changed in the scheduler's config."""
    return {} if choice.prediction_type == "auto" else {"prediction_type": choice.prediction_type}


def _detect_single_file(path: Path, choice: BaseChoice) -> Detected:
    """A checkpoint with the original authors' keys; its configs come from us or the user."""
    _refuse_option("--variant", choice.variant, choice.base, "one file")
    header = read_header(path)
    for family in FAMILIES:
        layout = load_class(family).layout_of(header)
        if layout is not None:
            break
    else:
        return _detect_transformer_file(path, header, choice)
    if any(map(header.has, EDM)):
        raise BaseModelError(
            f"{path} is a model of EDM, such as Playground 2.5 and CosXL. Its noise is another one "
            f"than that of other {layout} models, so it is not supported."
        )
    place = choice.configs_place()
    if isinstance(place, HubId):
        raise BaseModelError(
            f"--configs {choice.configs}: a {layout} model in one file needs only configs beside "
            "it, from a folder in diffusers' layout. Give one, or leave it out."
        )
    if place is not None:
        configs = place
        if not (configs / "model_index.json").is_file():
            raise BaseModelError(f"--configs {configs} is no folder in diffusers' layout")
    else:
        channels = _channels(header, path)
        configs = single_file_configs.folder(layout, {"unet": {"in_channels": channels}})
    recognised_by = (
        f"a single-file checkpoint with the keys of {layout}, text width {header.text_width}"
    )
    changes = _scheduler_changes(header) | _asked_changes(choice)
    source = BaseSource(choice.base, str(path), layout=str(configs), scheduler=changes)
    return Detected(family, recognised_by, source)


def _detect_transformer_file(path: Path, header: Header, choice: BaseChoice) -> Detected:
    """The transformer of a model in a file; all other parts are where `--configs` says.

    Of files that hold these too, they are not read: diffusers knows few of the ways in which people
    name them, and those of the published models are the same.
    """
    imports.import_libraries()
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    found = transformer_of(header)
    if found is None or found[1] not in SINGLE_FILE_LOADABLE_CLASSES:
        raise BaseModelError(f"{path} is no base model: it {describe_file(header)}.")
    name, kind = found
    if any(map(header.has, SCALED)):
        raise BaseModelError(
            f"{path} has weights in 8 bits with scales beside them, which diffusers does not read. "
            "Take the model in 16 bits; --quantize 8bit makes it small."
        )
    place = choice.configs_place()
    if place is None:
        raise BaseModelError(
            f"{path} is the transformer of {name}. Give the rest with --configs: a folder "
            "in diffusers' layout, or a hub id, of a model with the same text encoders and VAE."
        )
    rest, revision, index = _whole_model(place, f"--configs {choice.configs}")
    family, pipeline = _family_of_pipeline(index, f"--configs {choice.configs}")
    if load_class(family).kind != kind:
        raise BaseModelError(
            f"{path} is the transformer of {name}, and --configs {choice.configs} is a "
            f"{pipeline}. Give a model of the same kind."
        )
    source = BaseSource(
        *(choice.base, str(path), revision),
        layout=rest,
        file_part="transformer",
        scheduler=_asked_changes(choice),
    )
    return Detected(family, f"a single file with the transformer of {name}", source)


def _refuse_option(flag: str, value: object, base: str, what: str) -> None:
    if value is not None:
        raise BaseModelError(
            f"{flag} {brief(str(value))} has no effect with --base {brief(base)}, which is "
            f"{what}. Leave it out."
        )


def _index_of(path: Path) -> Path:
    """The `model_index.json` of a folder."""
    if not path.is_dir():
        raise BaseModelError(f"{path} is neither a file nor a folder, so it is no base model")
    index = path / "model_index.json"
    if not index.is_file():
        raise BaseModelError(
            f"{path} {describe_folder(path)}: it holds no model_index.json. Give a folder in "
            "diffusers' layout (with unet/, vae/, text_encoder/ …), a checkpoint, a hub id, "
            "or 'emoji'."
        )
    return index


def _fetch_index(base: str, place: HubId) -> Path:
    """The `model_index.json` of a repository on the hub."""
    from huggingface_hub import hf_hub_download

    try:
        hub.check_reachable(place.repository)
        index = hf_hub_download(place.repository, "model_index.json", revision=place.revision)
    except Exception as error:  # the hub's own errors, and any of its network library's
        raise BaseModelError(
            f"{base} is no local folder or file, and could not be fetched from the hub: "
            f"{reason(error)}"
        ) from error
    return Path(index)


def _family_of_pipeline(index: Path, base: str) -> tuple[str, str]:
    """The family whose pipeline `model_index.json` names, and that pipeline."""
    pipeline = folder.read(index).get("_class_name")
    if not isinstance(pipeline, str):
        raise BaseModelError(f"{base}: model_index.json is damaged (it names no pipeline)")
    supported: set[str] = set()
    for family in FAMILIES:
        pipelines = load_class(family).pipelines
        if pipeline in pipelines:
            return family, pipeline
        supported |= set(pipelines)
    if (plain := from_text(pipeline, supported)) is not None:
        raise BaseModelError(
            f"{base} is a {pipeline}, which reads pictures beside a prompt. Learn the word on the "
            f"model of its kind that draws from text alone, a {plain}: if their text encoders are "
            "the same, the word works in both."
        )
    raise BaseModelError(
        f"{base} is a {pipeline}; supported so far: {', '.join(sorted(supported))}"
    )


def _channels(header: Header, path: Path) -> int:
    """How many channels the U-Net of a single file takes."""
    shape = header.shapes.get("model.diffusion_model.input_blocks.0.0.weight", ())
    if len(shape) != 4 or not 1 <= shape[1] <= MOST_CHANNELS:
        raise BaseModelError(
            f"{path} has no first layer that takes latents, so its U-Net is not supported"
        )
    return shape[1]


def _scheduler_changes(header: Header) -> dict[str, Any]:
    """What a single file's marker keys or ModelSpec metadata say of its noise schedule."""
    changes: dict[str, Any] = {}
    modelspec = header.metadata.get("modelspec.prediction_type", "")
    if "v_pred" in header.shapes or modelspec in {"v", "v_prediction"}:
        changes["prediction_type"] = "v_prediction"
    elif modelspec == "epsilon":
        changes["prediction_type"] = "epsilon"
    if "ztsnr" in header.shapes:
        changes["rescale_betas_zero_snr"] = True
    return changes
