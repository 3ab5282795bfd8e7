"""Helpers for tests of several floors: run a command, train quickly, make files, collect notes."""

import functools
import json
import random
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file
from typer.testing import CliRunner

from pseudoword import methods
from pseudoword.api import train
from pseudoword.cli.app import app
from pseudoword.commands.load import Loaded
from pseudoword.config import BaseChoice, Hyperparameters
from pseudoword.config.captions import CaptionSettings
from pseudoword.config.pictures import PictureSettings
from pseudoword.config.rates import Rates
from pseudoword.config.word import NewWord
from pseudoword.data import captions, examples, latents, picture_files
from pseudoword.methods import Rows
from pseudoword.models import base_model
from pseudoword.models.detection import detect
from pseudoword.models.family import Family
from pseudoword.progress import Silent
from pseudoword.runs.finish import Trained
from pseudoword.training.batches import TrainingData
from pseudoword.training.initialisation import begin, initial_rows
from pseudoword.training.rate_schedules import Schedule
from pseudoword.training.state import TrainState

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real photographs and embedding files; tests that need them are skipped without them."""


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def learn(base: Path | Loaded, pictures: Path, out: Path, **settings: Any) -> Trained:
    options: dict[str, Any] = {"init": "cat", "batch": 2, "preview": (), "steps": 2}
    return train(pictures, "<cat>", base=base, out=out, **(options | settings))


class Unplugged(Silent):
    """Stops a run after some steps, like a power cut."""

    def __init__(self, after: int) -> None:
        self.after = after

    def advance(self, done: int, total: int, detail: str = "") -> None:
        if "loss" in detail and done == self.after:
            raise RuntimeError("unplugged")


def without_numbers(choice: BaseChoice) -> Family:
    """A base model made from its configs alone, on the meta device."""
    return base_model.build(detect(choice), base_model.placement(choice, empty=True))


def diffusers_own(base: Path) -> Any:
    """The pipeline of diffusers, with weights that are copied from the file.

    The place of weights in a file decides where they are mapped, and with it how the product with a
    single row is rounded.
    """
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        for weight in part.parameters() if isinstance(part, torch.nn.Module) else ():
            weight.data = weight.data.clone()
    return pipeline


def reads_loras(base: Path) -> bool:
    """Whether diffusers reads LoRA files for the model in the folder `base`."""
    pipeline = json.loads((base / "model_index.json").read_text())["_class_name"]
    return hasattr(getattr(diffusers, pipeline), "load_lora_weights")


def lora(base: Path, file: Path) -> Path:
    """A LoRA of random numbers for the denoiser and the first text encoder, in diffusers' names."""
    tensors = {}
    torch.manual_seed(1)
    for key, (ins, outs) in _lora_layers(base).items():
        tensors[f"{key}.lora_A.weight"] = torch.randn(4, ins)
        tensors[f"{key}.lora_B.weight"] = torch.randn(outs, 4)
    save_file(tensors, file)
    return file


@functools.cache
def _lora_layers(base: Path) -> dict[str, tuple[int, int]]:
    """The layers that `lora` is for, and their widths."""
    family: Any = without_numbers(BaseChoice(base=str(base), device="cpu"))
    layers = {}
    parts = [(family.denoiser_part, family.denoiser)]
    if "clip_l" in family.encoders:
        parts.append(("text_encoder", family.encoders["clip_l"].model))
    for part, module in parts:
        for name, layer in module.named_modules():
            if name.endswith(("to_q", "to_v", "q_proj", "attn2.to_k")):
                prefix = (
                    "text_model." if part == "text_encoder" and "text_model" not in name else ""
                )
                layers[f"{part}.{prefix}{name}"] = (layer.in_features, layer.out_features)
    return layers


def flipped(data: bytes, source: random.Random) -> bytes:
    changed = bytearray(data)
    changed[source.randrange(len(data))] ^= 1 << source.randrange(8)
    return bytes(changed)


class Notes(Silent):
    """Collects the notes that the user would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


PLAIN: Mapping[str, Any] = MappingProxyType(
    {"lr": 0.002, "norm": "none", "average": False, "timestep_sampling": "uniform"}
)
"""Training as in the paper, so that a test sets only what it is about."""


def train_state(
    family: Family,
    pictures: Path,
    token: str = "<cat>",
    *,
    init: str = "cat",
    vectors: int = 1,
    templates: Sequence[str] = captions.SUBJECT,
    picture_settings: Mapping[str, Any] = MappingProxyType({}),
    caption_settings: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> TrainState:
    """The state of a concept before its first step.

    `settings` are those of `Hyperparameters`.
    """
    hyper = Hyperparameters(**{**PLAIN, "steps": 4, "batch": 2, **settings})
    of_pictures = PictureSettings(pictures=(pictures,), **picture_settings)
    shapes = examples.crop_sizes(of_pictures, family.resolution, family.resolution_step)
    read = examples.read(picture_files.find([pictures]), of_pictures, shapes, seed=hyper.seed)
    encoded = list(latents.encode(family, read, of_pictures.unmasked_weight))
    rows = initial_rows(family, NewWord(token, init, "auto"), vectors, hyper.seed)
    assert isinstance(hyper.lr, Rates)
    return TrainState.begin(
        TrainingData(token, encoded, templates, hyper, CaptionSettings(**caption_settings), rows),
        methods.begin(begin(family, rows), hyper),
        Schedule.of(hyper, hyper.lr),
    )


def asked(m: TrainState) -> Rows:
    """The rows of a concept in a step, attached to the graph."""
    return m.method.rows(m.step)


class Snapshot:
    """All weights of a module, to show that nothing changed."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._before = {k: v.clone() for k, v in module.state_dict().items()}

    def same(self, module: torch.nn.Module) -> bool:
        after = module.state_dict()
        return set(after) == set(self._before) and all(
            torch.equal(after[k], v) for k, v in self._before.items()
        )


def guided(pipeline: Any, scale: float, against: str = "") -> dict[str, Any]:
    """A guidance scale, where 1 is off, and a negative prompt as a pipeline takes them."""
    kind = type(pipeline).__name__
    if kind == "Flux2KleinPipeline" and against:
        return {
            "guidance_scale": scale,
            "negative_prompt_embeds": pipeline.encode_prompt(against)[0],
        }
    negative = {"negative_prompt": against} if against else {}
    if kind == "QwenImagePipeline":  # it is not guided without a negative prompt
        return {"true_cfg_scale": scale, "negative_prompt": against}
    from_zero = kind in ("ZImagePipeline", "Krea2Pipeline")
    return {"guidance_scale": scale - 1 if from_zero else scale, **negative}


def as_asked(pipeline: Any) -> dict[str, Any]:
    """A size that some configs do not say. Some pipelines would round it, or change the prompt."""
    changes = {"use_resolution_binning", "enable_prompt_rewrite"}
    return {
        **{"height": 32, "width": 32},
        **dict.fromkeys(changes & set(signature(pipeline.__call__).parameters), False),
    }
