"""Helpers for tests of several floors: run a command, train quickly, make files, collect notes."""

import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from pseudoword import train
from pseudoword.cli.app import app
from pseudoword.files import without_checksum
from pseudoword.models import base_model
from pseudoword.outputs import RECORD
from pseudoword.progress import Silent
from pseudoword.runs.runner import Trained


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def learn(base: Path, pictures: Path, out: Path, **settings: Any) -> Trained:
    options: dict[str, Any] = {"init": "cat", "batch": 8, "preview": (), "steps": 2}
    return train(pictures, "<cat>", base=str(base), out=out, **(options | settings))


class Unplugged(Silent):
    """Stops a run after some steps, like a power cut."""

    def __init__(self, after: int) -> None:
        self.after = after

    def advance(self, done: int, total: int, detail: str = "") -> None:
        if "loss" in detail and done == self.after:
            raise RuntimeError("unplugged")


def lora(base: Path, file: Path) -> Path:
    """A LoRA of random numbers for the U-Net and the first text encoder, in diffusers' names."""
    family: Any = base_model.load_named(str(base), "cpu")
    tensors = {}
    torch.manual_seed(1)
    parts = (("unet", family.unet), ("text_encoder", family.encoders["clip_l"].model))
    for part, module in parts:
        for name, layer in module.named_modules():
            if name.endswith(("to_q", "to_v", "q_proj", "attn2.to_k")):
                prefix = (
                    "text_model." if part == "text_encoder" and "text_model" not in name else ""
                )
                key = f"{part}.{prefix}{name}"
                tensors[f"{key}.lora_A.weight"] = torch.randn(4, layer.in_features)
                tensors[f"{key}.lora_B.weight"] = torch.randn(layer.out_features, 4)
    save_file(tensors, file)
    return file


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


def as_older(out: Path) -> None:
    """Turn a run into one of an older version: no record, and checkpoints without a checksum."""
    (out / RECORD).unlink()
    for path in out.glob("*-*.pt"):
        path.write_bytes(without_checksum(path.read_bytes()) or b"")
