"""diffusers' `textual_inversion.py`, run on the bundled base: for benchmarks that compare with it.

The script is not part of this project. It is examples/textual_inversion/textual_inversion.py of
github.com/huggingface/diffusers.
"""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pseudoword.benchmark.tasks import Task
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


def command(
    script: Path,
    pictures: Path,
    init: str,
    out: Path,
    *,
    rate: float,
    steps: int,
    save_every: int,
) -> list[str]:
    """The command that runs the script at 64 px with batches of four, as pseudoword's defaults are.

    What is not given has the script's own defaults.
    """
    options = {
        "pretrained_model_name_or_path": BUNDLED["emoji"],
        "train_data_dir": pictures,
        "placeholder_token": "<peer>",
        "initializer_token": init,
        "resolution": 64,
        "train_batch_size": 4,
        "learning_rate": rate,
        "max_train_steps": steps,
        "save_steps": save_every,
        "seed": 0,
        "output_dir": out,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-c", WITHOUT_TORCHVISION, str(script), *arguments]


def learn(
    script: Path, pictures: Path, init: str, out: Path, *, rate: float, save_at: range
) -> list[Word]:
    """Run the script; the words that it saved at the steps `save_at`.

    Raises:
        CalledProcessError: the script failed; what it said is in `out/said.txt`.
    """
    steps, every = save_at[-1], save_at[0]
    seconds = timed(
        command(script, pictures, init, out, rate=rate, steps=steps, save_every=every), out
    )
    began = time.time() - seconds
    files = {step: out / SAVED.format(step) for step in save_at}
    return [Word(step, file.stat().st_mtime - began, str(file)) for step, file in files.items()]


def write_pictures(task: Task, folder: Path) -> Path:
    """A folder with the pictures to learn from alone: the script reads all that is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(task.training_pictures, 1):
        one.picture.save(folder / f"{number}.png")
    return folder


def machine() -> str:
    """What the figures were measured on."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        models = [line.partition(":")[2] for line in lines if line.startswith("model name")]
        processor = (models or [processor])[0].strip()
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    return f"{processor}, {threads}, torch {torch.__version__.partition('+')[0]}."


def timed(arguments: Sequence[str], out: Path) -> float:
    """Run a command and return its seconds by the clock; what it says goes to `out/said.txt`."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "said.txt").open("w") as said:
        began = time.perf_counter()
        subprocess.run(arguments, check=True, stdout=said, stderr=said)
        return time.perf_counter() - began
