"""diffusers' `textual_inversion.py`, run on the bundled base: for benchmarks that compare with it.

The script is not part of this project. It is examples/textual_inversion/textual_inversion.py of
github.com/huggingface/diffusers.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pseudoword.models.base_model import BUNDLED

SAVED = "learned_embeds-steps-{}.safetensors"

WITHOUT_TORCHVISION = """
import runpy, sys, types
from importlib.util import find_spec

import torch
from PIL import ImageOps
from diffusers import StableDiffusionPipeline

def flip(p):
    return lambda picture: ImageOps.mirror(picture) if torch.rand(1) < p else picture

if find_spec("torchvision") is None:
    sys.modules["torchvision"] = types.ModuleType("torchvision")
    sys.modules["torchvision"].transforms = types.SimpleNamespace(RandomHorizontalFlip=flip)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the script where torchvision is missing, of which it uses one function."""


@dataclass(frozen=True)
class Word:
    """A word on its way: the file with it, and the seconds since the process began."""

    step: int
    seconds: float
    file: str


def learn(
    script: Path,
    pictures: Path,
    init: str,
    out: Path,
    *,
    rate: float,
    save_at: Sequence[int],
    resolution: int = 64,
    batch: int = 4,
) -> list[Word]:
    """Run the script to its last saved step; what is not given has its own defaults.

    Raises:
        CalledProcessError: the script failed; what it said is in `out/said.txt`.
    """
    every = save_at[0]
    options = {
        "pretrained_model_name_or_path": BUNDLED["emoji"],
        "train_data_dir": pictures,
        "placeholder_token": "<peer>",
        "initializer_token": init,
        "resolution": resolution,
        "train_batch_size": batch,
        "learning_rate": rate,
        "max_train_steps": save_at[-1],
        "save_steps": every,
        "seed": 0,
        "output_dir": out,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    seconds = timed([sys.executable, "-c", WITHOUT_TORCHVISION, str(script), *arguments], out)
    began = time.time() - seconds
    files = {step: out / SAVED.format(step) for step in save_at}
    return [Word(step, file.stat().st_mtime - began, str(file)) for step, file in files.items()]


def timed(command: Sequence[str], out: Path) -> float:
    """Run a command and return its seconds by the clock; what it says goes to `out/said.txt`."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "said.txt").open("w") as said:
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=said, stderr=said)
        return time.perf_counter() - began
