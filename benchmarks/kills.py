"""`train-many` is killed at random moments, and ends on the bytes of runs that learn one word each.

    python benchmarks/kills.py [--words 40] [--kills 20] [--seed 0] [--out bench-kills]

On a tiny model with random weights. Each word is learned alone once. Then one command learns all,
gets a SIGKILL at a random moment, is given again, and so on. The exit code is 1 if a word differs.
"""

import argparse
import contextlib
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import tiny
from forked import Process

import pseudoword
from pseudoword.runs import checkpoint

STEPS = 12
SETTINGS: dict[str, Any] = {
    "init": "cat",
    "batch": 4,
    "steps": STEPS,
    "checkpoint_every": 3,
    "preview": "none",
    "timestep_sampling": "uniform",
}
PACK = 8
FILE = "concept.safetensors"


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


def learn_alone(base: Path, words: Path, out: Path, names: list[str]) -> None:
    """Learn each word in a run of its own."""
    for done, name in enumerate(names):
        print(f"\r{done} of {len(names)} words learned alone", end="", file=sys.stderr)
        pseudoword.train(words / name, f"<{name}>", base=str(base), out=out / name, **SETTINGS)
    print(file=sys.stderr)


def begin(base: Path, words: Path, out: Path) -> Process:
    """Start `train-many`."""
    given = [(f"--{name.replace('_', '-')}", value) for name, value in SETTINGS.items()]
    flat = [part for pair in given for part in pair]
    return Process("train-many", words, "--out", out, "--base", base, "--pack", PACK, *flat)


def moments(kills: int, words: int, source: random.Random) -> Iterator[tuple[int, float]]:
    """When to kill: after how many lines of all logs, and how many seconds later.

    A fifth of the kills come while the command starts.
    """
    lines_each = words * (STEPS + 1) / kills
    for _ in range(kills):
        early = source.random() < 0.2
        lines = 0 if early else source.randint(1, int(lines_each))
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
    together: Path
    """has the run of each word that was learned by `train-many`"""
    kills: int
    """commands that a kill ended; the others were done before it"""
    code: int
    """exit code of the last command"""

    def same_bytes(self) -> int:
        """Words that have the same bytes from both."""
        files = [(self.alone / name / FILE, self.together / name / FILE) for name in self.names]
        return sum(one.read_bytes() == other.read_bytes() for one, other in files)


def learn_and_kill(out: Path, count: int, kills: int, source: random.Random) -> Outcome:
    """Learn `count` words alone, and by commands of which the first `kills` are killed."""
    base = tiny.stable_diffusion(out / "base")
    words, alone, together = (out / name for name in ("words", "alone", "together"))
    names = make_words(words, count)
    learn_alone(base, words, alone, names)
    killed = 0
    for lines, seconds in moments(kills, count, source):
        process, before = begin(base, words, together), logged(together)
        while process.poll() is None and logged(together) < before + lines:
            time.sleep(0.005)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        ready = sum(checkpoint.finished_step(together / name) is not None for name in names)
        print(f"kill {killed}: {ready} of {count} words were ready", file=sys.stderr)
    return Outcome(names, alone, together, killed, begin(base, words, together).wait())


def main() -> None:
    """Learn, kill, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--words", type=int, default=40)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench-kills"))
    told = parser.parse_args()
    shutil.rmtree(told.out, ignore_errors=True)
    found = learn_and_kill(told.out, told.words, told.kills, random.Random(told.seed))
    same = found.same_bytes()
    print(
        f"{found.kills} kills; the last command ended with {found.code}; {same} of {told.words} "
        "words have the bytes of a run of their own"
    )
    sys.exit(same < told.words or found.code != 0)


if __name__ == "__main__":
    main()
