"""`train-many` is killed at random moments, and ends on the bytes of runs that learn one word each.

    python benchmarks/kills.py                 a tiny model, 40 words, 20 kills
    python benchmarks/kills.py --model sd1 --words 1 --kills 10 \\
        --device cuda --dtype bfloat16 --graphs
    python benchmarks/kills.py --model sdxl --words 4 --kills 10 --compare pack \\
        --device cuda --dtype bfloat16 --graphs

Models have random weights; sd1 and sdxl have the sizes of the published ones. Each word is learned
alone once, and all by one command that nobody kills. Then the command gets a SIGKILL at a random
moment, is given again, and so on. The exit code is 1 if a word differs from the one learned alone;
with --compare pack, from that of the command that nobody killed.
"""

import contextlib
import random
import shutil
import signal
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import tiny
from forked import Process

import pseudoword
from benchmarks import memory, shared
from pseudoword.config import BaseChoice
from pseudoword.models import base_model
from pseudoword.runs import checkpoint

Settings = dict[str, Any]

COMPARED = ("alone", "pack")
"""What killed commands are compared with: words learned one by one, and by an unbroken command."""

STEPS = 12
SETTINGS: Settings = {
    "init": "cat",
    "batch": 4,
    "steps": STEPS,
    "checkpoint_every": 3,
    "preview": "none",
    "timestep_sampling": "uniform",
}
AT_SIZE: dict[str, Settings] = {
    "tiny": {},
    "sd1": {"batch": 1, "resolution": 512},
    "sdxl": {"batch": 1, "resolution": 1024},
}
"""model -> settings of its own"""
PACK = 8
FILE = "concept.safetensors"
WAIT = 3600
"""Seconds within which a command has to end."""


def make_words(folder: Path, count: int) -> list[str]:
    """A folder of pictures for each word."""
    source = np.random.default_rng(0)
    names = [f"thing-{i}" for i in range(count)]
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(3):
            pixels = source.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return names


def make_base(folder: Path, model: str, settings: Settings) -> Path:
    """The folder of a model with random weights."""
    if model == "tiny":
        return tiny.stable_diffusion(folder)
    shutil.copytree(memory.folder(model), folder)
    given = {name: settings[name] for name in ("device", "dtype") if name in settings}
    with memory.random_weights(folder):
        base_model.load(BaseChoice(base=str(folder), **given)).modules()
    return folder


def learn_alone(base: Path, words: Path, out: Path, names: list[str], settings: Settings) -> None:
    """Learn each word in a run of its own."""
    for done, name in enumerate(names):
        print(f"\r{done} of {len(names)} words learned alone", end="", file=sys.stderr)
        pseudoword.train(words / name, f"<{name}>", base=str(base), out=out / name, **settings)
    print(file=sys.stderr)


def begin(base: Path, words: Path, out: Path, settings: Settings) -> Process:
    """Start `train-many`."""
    flat: list[object] = []
    for name, value in settings.items():
        option = f"--{name.replace('_', '-')}"
        flat += [option] if value is True else [option, value]
    return Process("train-many", words, "--out", out, "--base", base, "--pack", PACK, *flat)


def moments(kills: int, words: int, source: random.Random) -> Iterator[tuple[int, float]]:
    """When to kill: after how many lines of all logs, and how many seconds later.

    A fifth of the kills come while the command starts.
    """
    lines_each = max(1, words * (STEPS + 1) // kills)
    for _ in range(kills):
        early = source.random() < 0.2
        lines = 0 if early else source.randint(1, lines_each)
        yield lines, source.random() * (2.0 if early else 0.05)


def logged(out: Path) -> int:
    """Lines in the logs of all runs."""
    return sum(log.read_bytes().count(b"\n") for log in out.glob("*/log.jsonl"))


@dataclass(frozen=True)
class Outcome:
    """What was learned in spite of kills."""

    names: list[str]
    alone: Path
    """has the run of each word that was learned alone"""
    pack: Path
    """has the run of each word that was learned by `train-many`"""
    together: Path
    """the same, but for the kills"""
    kills: int
    """commands that a kill ended; the others were done before it"""
    code: int
    """exit code of the last command"""

    def same_bytes(self, reference: Path) -> int:
        """Words that have the same bytes, in spite of kills, as in the folder `reference`."""
        files = [(reference / name / FILE, self.together / name / FILE) for name in self.names]
        return sum(one.read_bytes() == other.read_bytes() for one, other in files)


def learn_and_kill(
    out: Path,
    count: int,
    kills: int,
    source: random.Random,
    model: str = "tiny",
    compare: Collection[str] = COMPARED,
    **own: Any,
) -> Outcome:
    """Learn `count` words alone, and by commands of which the first `kills` are killed.

    Args:
        out: a folder for everything.
        count: how many words.
        kills: how many kills.
        source: of the moments.
        model: its size.
        compare: which of `COMPARED` to learn.
        own: settings of the training, beside `SETTINGS`.
    """
    settings = {**SETTINGS, **AT_SIZE[model], **own}
    base = make_base(out / "base", model, settings)
    words, alone, pack, together = (out / name for name in ("words", "alone", "pack", "together"))
    names = make_words(words, count)
    if "alone" in compare:
        learn_alone(base, words, alone, names, settings)
    if "pack" in compare and (whole := begin(base, words, pack, settings)).wait(WAIT):
        raise SystemExit(f"train-many failed: {whole.stderr}")
    killed = 0
    for lines, seconds in moments(kills, count, source):
        process, before = begin(base, words, together, settings), logged(together)
        while process.poll() is None and logged(together) < before + lines:
            time.sleep(0.005)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        ready = sum(checkpoint.finished_step(together / name) is not None for name in names)
        print(f"kill {killed}: {ready} of {count} words were ready", file=sys.stderr)
    code = begin(base, words, together, settings).wait(WAIT)
    return Outcome(names, alone, pack, together, killed, code)


def main() -> None:
    """Learn, kill, and compare."""
    parser = shared.Parser(__doc__)
    parser.add_argument("--model", choices=[*AT_SIZE], default="tiny")
    parser.add_count("--words", 40)
    parser.add_count("--kills", 20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench-kills"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--graphs", action="store_true", help="with CUDA graphs")
    parser.add_argument("--compare", choices=COMPARED, default="alone")
    told = parser.parse_args()
    if told.out.exists() and any(told.out.iterdir()):
        parser.error(f"{told.out} is not empty; name another folder with --out")
    own = {"device": told.device, "dtype": told.dtype, **({"graphs": True} if told.graphs else {})}
    source = random.Random(told.seed)
    found = learn_and_kill(told.out, told.words, told.kills, source, told.model, **own)
    alone, pack = found.same_bytes(found.alone), found.same_bytes(found.pack)
    print(
        f"{found.kills} kills; the last command ended with {found.code}; {alone} of {told.words} "
        f"words have the bytes of a run of their own, {pack} those of a command without kills"
    )
    same = {"alone": alone, "pack": pack}[told.compare]
    sys.exit(same < told.words or found.code != 0)


if __name__ == "__main__":
    main()
