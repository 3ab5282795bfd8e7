"""Write the bundle: base model, similarity model, and pictures for the demo and the benchmark.

Every folder is built beside its place and then put there whole, so nobody reads half a model.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPImageProcessor, CLIPProcessor

from basemodel.artifacts import Artifacts
from basemodel.attribution import write_attribution
from basemodel.benchmark_drawings import write_benchmark_drawings
from basemodel.demo_pictures import write_demo_pictures
from basemodel.logs import copy_logs_to_bundle, say
from basemodel.model_cards import write_base_card, write_similarity_card
from basemodel.noise_schedule import new_scheduler
from basemodel.settings import GUIDANCE, PICTURE_PX
from basemodel.world import SHAPES, STYLES
from pseudoword.models.drawing_defaults import EMPHASIS_KEY, GUIDANCE_KEY, RESCALE_KEY

MAX_SHARD_SIZE = "15MB"
"""No file of the bundle may be larger than 16 MB."""


def replace_folder(target: Path, build: Callable[[Path], None]) -> None:
    """Build a folder beside `target`, then put it in the place of `target`."""
    part, old = target.with_name(target.name + ".part"), target.with_name(target.name + ".old")
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    part.mkdir(parents=True)
    build(part)
    if target.exists():
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _half_precision(model: torch.nn.Module) -> torch.nn.Module:
    """A float16 copy on the CPU, in the plain memory layout."""
    half = copy.deepcopy(model).cpu().to(torch.float16)
    for tensor in (*half.parameters(), *half.buffers()):
        tensor.data = tensor.data.contiguous()
    return half


def _load_as_float32(config: Path) -> None:
    """Make weights stored in half precision load as float32, unless another dtype is asked for.

    The U-Net and the VAE do so by themselves, and a pipeline must not mix precisions.
    """
    values = _read_json(config)
    for part in (values, values.get("text_config", {}), values.get("vision_config", {})):
        for key in ("dtype", "torch_dtype"):
            if key in part:
                part[key] = "float32"
    _write_json(config, values)


def _compact(path: Path) -> None:
    """Write the same JSON without white space, which makes the repository smaller."""
    values = _read_json(path)
    path.write_text(json.dumps(values, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def _forget_path(config: Path) -> None:
    """Leave out the folder that the weights were loaded from, which diffusers writes down."""
    values = _read_json(config)
    values.pop("_name_or_path", None)
    _write_json(config, values)


def _add_guidance(index: Path) -> None:
    """Add the model's guidance; diffusers ignores entries that begin with an underscore.

    The mean of this text encoder's hidden states is nearly 0, so weights cannot restore it.
    """
    own = {GUIDANCE_KEY: GUIDANCE.scale, RESCALE_KEY: GUIDANCE.rescale, EMPHASIS_KEY: "no-norm"}
    _write_json(index, {**_read_json(index), **own})


def _read_json(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def export_base(artifacts: Artifacts) -> None:
    """Write the base model for StableDiffusionPipeline.from_pretrained."""

    def build(folder: Path) -> None:
        pipeline = StableDiffusionPipeline(
            vae=_half_precision(artifacts.vae),
            text_encoder=_half_precision(artifacts.text_encoder),
            tokenizer=artifacts.tokenizer,
            unet=_half_precision(artifacts.unet),
            scheduler=new_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(folder, max_shard_size=MAX_SHARD_SIZE)
        sources = (artifacts.settings.work, artifacts.settings.bundled / "emoji")
        for name in ("vocab.json", "merges.txt"):  # older versions of transformers read these
            files = [source / "tokenizer" / name for source in sources]
            shutil.copy(next(file for file in files if file.exists()), folder / "tokenizer")
        _compact(folder / "tokenizer" / "tokenizer.json")
        _load_as_float32(folder / "text_encoder" / "config.json")
        for part in ("unet", "vae"):
            _forget_path(folder / part / "config.json")
        _add_guidance(folder / "model_index.json")
        copy_logs_to_bundle(artifacts.settings, folder)
        write_attribution(folder / "ATTRIBUTION.md", STYLES + SHAPES)
        write_base_card(folder, artifacts)

    replace_folder(artifacts.settings.bundled / "emoji", build)


def export_similarity_model(artifacts: Artifacts) -> None:
    """Write the similarity model for CLIPModel and CLIPProcessor."""

    def build(folder: Path) -> None:
        half: Any = _half_precision(artifacts.similarity_model)
        half.save_pretrained(folder, max_shard_size=MAX_SHARD_SIZE)
        _load_as_float32(folder / "config.json")
        pictures = CLIPImageProcessor(
            size={"shortest_edge": PICTURE_PX},
            crop_size={"height": PICTURE_PX, "width": PICTURE_PX},
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
        )
        CLIPProcessor(pictures, artifacts.tokenizer).save_pretrained(folder)
        _compact(folder / "tokenizer.json")
        write_attribution(folder / "ATTRIBUTION.md")
        write_similarity_card(folder, artifacts.settings)

    replace_folder(artifacts.settings.bundled / "judge", build)


def export_all(artifacts: Artifacts) -> None:
    """Write the pictures of the demo and the benchmark, and the models that are trained."""
    replace_folder(
        artifacts.settings.bundled / "demo",
        lambda folder: write_demo_pictures(folder, artifacts.drawings),
    )
    effort = artifacts.settings.packing_effort
    replace_folder(
        artifacts.settings.bundled / "groundtruth",
        lambda folder: write_benchmark_drawings(folder, artifacts.drawings, effort),
    )
    if artifacts.has_similarity_model:
        export_similarity_model(artifacts)
    export_base(artifacts)
    sizes = [p.stat().st_size for p in artifacts.settings.bundled.rglob("*") if p.is_file()]
    say(
        "export",
        f"{sum(sizes) / 1e6:.1f} MB in {len(sizes)} files, the largest {max(sizes) / 1e6:.1f} MB",
    )
