"""Write the bundle: the base as a StableDiffusionPipeline folder, the judge, the demo's pictures.

Everything is built beside its place and swapped in whole, so a reader never meets half a model.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPImageProcessor, CLIPProcessor

from basemodel.attribution import write_attribution
from basemodel.card import write_base_card, write_judge_card
from basemodel.demo import write_demo
from basemodel.denoiser import new_scheduler
from basemodel.logs import send_logs_along
from basemodel.loop import say
from basemodel.settings import GUIDANCE, PICTURE_PX
from basemodel.truth import write_truth
from basemodel.world import SHAPES, STYLES
from pseudoword.models.families.unet import OWN_GUIDANCE, OWN_RESCALE

if TYPE_CHECKING:
    from basemodel.recipe import Recipe

SHARD = "15MB"
"""No file may be larger than 16 MB, so that the bundle can travel in parts."""


def swap_in(target: Path, build: Callable[[Path], None]) -> None:
    """Build a folder beside `target`, then put it in its place."""
    part, old = target.with_name(target.name + ".part"), target.with_name(target.name + ".old")
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    part.mkdir(parents=True)
    build(part)
    if target.exists():
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _half(model: torch.nn.Module) -> torch.nn.Module:
    """A float16 copy on the CPU, in the plain memory layout."""
    half = copy.deepcopy(model).cpu().to(torch.float16)
    for tensor in (*half.parameters(), *half.buffers()):
        tensor.data = tensor.data.contiguous()
    return half


def _stored_half_loads_whole(config: Path) -> None:
    """Weights are stored in half precision, yet load as float32 unless asked otherwise, as the
    U-Net and VAE beside them do: a pipeline must not mix the two."""
    found = json.loads(config.read_text(encoding="utf-8"))
    for part in (found, found.get("text_config", {}), found.get("vision_config", {})):
        for key in ("dtype", "torch_dtype"):
            if key in part:
                part[key] = "float32"
    config.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _compact(path: Path) -> None:
    """The same JSON without white space: every kilobyte travels with every clone."""
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def _forget_path(config: Path) -> None:
    """Drop the folder that weights were loaded from, which diffusers would pass on."""
    found = json.loads(config.read_text(encoding="utf-8"))
    found.pop("_name_or_path", None)
    config.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _say_guidance(index: Path) -> None:
    """diffusers passes over entries that begin with an underscore."""
    own = {OWN_GUIDANCE: GUIDANCE.scale, OWN_RESCALE: GUIDANCE.rescale}
    found = {**json.loads(index.read_text(encoding="utf-8")), **own}
    index.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def export_base(recipe: Recipe) -> None:
    """The emoji base model, loadable by StableDiffusionPipeline.from_pretrained."""

    def build(folder: Path) -> None:
        pipeline = StableDiffusionPipeline(
            vae=_half(recipe.vae),
            text_encoder=_half(recipe.text_encoder),
            tokenizer=recipe.tokenizer,
            unet=_half(recipe.unet),
            scheduler=new_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(folder, max_shard_size=SHARD)
        sources = (recipe.settings.work, recipe.settings.bundled / "emoji")
        for name in ("vocab.json", "merges.txt"):  # what older transformers read
            found = [f / "tokenizer" / name for f in sources if (f / "tokenizer" / name).exists()]
            shutil.copy(found[0], folder / "tokenizer" / name)
        _compact(folder / "tokenizer" / "tokenizer.json")
        _stored_half_loads_whole(folder / "text_encoder" / "config.json")
        for part in ("unet", "vae"):
            _forget_path(folder / part / "config.json")
        _say_guidance(folder / "model_index.json")
        send_logs_along(recipe.settings, folder)
        write_attribution(folder / "ATTRIBUTION.md", STYLES + SHAPES)
        write_base_card(folder, recipe)

    swap_in(recipe.settings.bundled / "emoji", build)


def export_judge(recipe: Recipe) -> None:
    """The judge, loadable by CLIPModel and CLIPProcessor."""

    def build(folder: Path) -> None:
        half: Any = _half(recipe.judge)
        half.save_pretrained(folder, max_shard_size=SHARD)
        _stored_half_loads_whole(folder / "config.json")
        pictures = CLIPImageProcessor(
            size={"shortest_edge": PICTURE_PX},
            crop_size={"height": PICTURE_PX, "width": PICTURE_PX},
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
        )
        CLIPProcessor(pictures, recipe.tokenizer).save_pretrained(folder)
        _compact(folder / "tokenizer.json")
        write_attribution(folder / "ATTRIBUTION.md")
        write_judge_card(folder, recipe)

    swap_in(recipe.settings.bundled / "judge", build)


def export_all(recipe: Recipe) -> None:
    """Base, judge (when it has been trained), and the pictures of the demo and the benchmark."""
    swap_in(recipe.settings.bundled / "demo", lambda folder: write_demo(folder, recipe.art))
    effort = recipe.settings.packing_effort
    swap_in(
        recipe.settings.bundled / "groundtruth",
        lambda folder: write_truth(folder, recipe.art, effort),
    )
    if (recipe.settings.work / "judge.pt").exists():
        export_judge(recipe)
    export_base(recipe)
    sizes = [p.stat().st_size for p in recipe.settings.bundled.rglob("*") if p.is_file()]
    say(
        "export",
        f"{sum(sizes) / 1e6:.1f} MB in {len(sizes)} files, the largest {max(sizes) / 1e6:.1f} MB",
    )
