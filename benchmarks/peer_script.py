"""diffusers' `textual_inversion.py`, run on the bundled base: for benchmarks that compare with it.

The script is not part of this project. It is examples/textual_inversion/textual_inversion.py of
github.com/huggingface/diffusers.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.shared import processor
from pseudoword.benchmark.tasks import Task
from pseudoword.config.base_choice import BUNDLED

SAVED = "learned_embeds-steps-{}.safetensors"

WATCH_EVERY = 0.05
"""Seconds between two looks at a process."""

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
    """A word on its way: the file with it, and the seconds that its process had taken by then."""

    step: int
    seconds: float
    """by the clock"""
    cpu_seconds: float
    """of the processor, all threads together"""
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
    process = watched(
        command(script, pictures, init, out, rate=rate, steps=steps, save_every=every), out
    )
    return [process.word(step, out / SAVED.format(step)) for step in save_at]


def write_pictures(task: Task, folder: Path) -> Path:
    """A folder with the pictures to learn from alone: the script reads all that is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(task.training_pictures, 1):
        one.picture.save(folder / f"{number}.png")
    return folder


def machine() -> str:
    """What the figures were measured on."""
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    return f"{processor()}, {threads}, torch {torch.__version__.partition('+')[0]}."


@dataclass
class Process:
    """A process that has ended, and what it had taken of the processor at some moments."""

    began: float
    """by `time.time`"""
    moments: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """By the clock."""
        return self.moments[-1] - self.began

    def word(self, step: int, file: Path) -> Word:
        """A word that it wrote."""
        at = file.stat().st_mtime
        cpu = float(np.interp(at, self.moments, self.cpu_seconds))
        return Word(step, at - self.began, cpu, str(file))


def timed(arguments: Sequence[str], out: Path) -> float:
    """Run a command and return its seconds by the clock; what it says goes to `out/said.txt`."""
    return watched(arguments, out).seconds


def watched(arguments: Sequence[str], out: Path) -> Process:
    """Run a command, as `timed` does, and watch what it takes of the processor.

    Raises:
        CalledProcessError: it failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    before = _of_children()
    with (out / "said.txt").open("w") as said:
        found = Process(time.time())
        with subprocess.Popen(arguments, stdout=said, stderr=said) as process:
            while process.poll() is None:
                found.moments.append(time.time())
                found.cpu_seconds.append(_so_far(process.pid))
                time.sleep(WATCH_EVERY)
    found.moments.append(time.time())
    found.cpu_seconds.append(_of_children() - before)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return found


def _so_far(pid: int) -> float:
    """Seconds of the processor that a running process has taken; Linux tells this in /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
