"""What the benchmarks have in common: their command lines, folders and drawings."""

import argparse
import json
import math
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import stdev

from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.runner import draw
from pseudoword.benchmark.tasks import TaskPrompt
from pseudoword.concept import Concept
from pseudoword.errors import PseudowordError
from pseudoword.files import write_whole
from pseudoword.locks import lock_folder
from pseudoword.models.family import Family

DOCS = Path(__file__).resolve().parent.parent / "docs" / "benchmark"
FOR_DOCS = "write the figures into docs/benchmark"
STARTING = "starting"
"""What a command does before the parts that it tells: Python and its imports."""
NOTE = "benchmark.json"
"""The file that says which benchmark a folder is of, and what its results depend on."""


class Parser(argparse.ArgumentParser):
    """A command line, with the docstring of its script as it is written."""

    def __init__(self, doc: str | None) -> None:
        super().__init__(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add_count(
        self,
        name: str,
        default: int,
        help: str | None = None,
        *,
        least: int = 1,
        most: float = math.inf,
    ) -> None:
        """An option that is a number of something, within bounds."""

        def count(text: str) -> int:
            if not least <= int(text) <= most:
                bounds = f"from {least} to {most}" if most < math.inf else f"at least {least}"
                raise argparse.ArgumentTypeError(f"should be {bounds}, not {text}")
            return int(text)

        self.add_argument(name, type=count, default=default, help=help)

    def add_things(self, name: str, default: int, *, least: int = 1) -> None:
        """How many held-out things are learned."""
        self.add_count(name, default, least=least, most=len(load().held_out))

    def add_peer_script(self) -> None:
        """The script that a benchmark compares with."""
        help = "diffusers' textual_inversion.py"
        self.add_argument("--peer-script", type=_file, metavar="FILE", help=help)


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


@contextmanager
def kept(out: Path, benchmark: str, **settings: object) -> Iterator[None]:
    """Hold a folder for what one call finishes, and for later calls that go on there.

    Args:
        out: a new folder, an empty one, or one of the same benchmark with the same settings.
        benchmark: its name.
        settings: what its results depend on, and their names do not tell.
    """
    note, now = out / NOTE, {"benchmark": benchmark, **settings}
    try:
        with lock_folder(out):
            before = json.loads(note.read_text()) if note.exists() else {}
            others = {path.name for path in out.iterdir() if not path.name.startswith(".")}
            changed = [name for name in now if before.get(name) != now[name]]
            if others and changed:
                told = f"results with other settings ({', '.join(changed)})"
                if "benchmark" in changed:
                    told = "results of another benchmark" if before else "files of no benchmark"
                sys.exit(f"{out} holds {told}. Name another folder with --out.")
            write_whole(note, json.dumps(now).encode())
            yield
    except PseudowordError as error:
        sys.exit(str(error))


def similarity(
    family: Family,
    model: SimilarityModel,
    prompts: Sequence[TaskPrompt],
    word: str,
    concepts: Sequence[Concept],
    seeds: range,
    sampler_steps: int | None = None,
) -> float:
    """Mean cosine of what is drawn with a word to the right pictures."""
    by_prompt = draw(family, prompts, word, concepts, seeds, sampler_steps)
    drawn = model.features([picture for pictures in by_prompt for picture in pictures])
    right = model.features([prompt.reference for prompt in prompts for _ in seeds])
    return float((drawn * right).sum(1).mean())


def error(values: Sequence[float]) -> float:
    """The standard error of a mean."""
    return stdev(values) / math.sqrt(len(values))


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    told = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return told[1] if told else platform.processor() or platform.machine()


def parts(said: str, seconds: float) -> dict[str, float]:
    """The seconds of each part of a command that took so many, by what it said at its end."""
    told = said[said.rindex("took ") :].splitlines()[0]
    found = {part: float(spent) for part, spent in re.findall(r"(\w+) ([\d.]+) s(?:,|$)", told)}
    found.pop("took", None)
    return {STARTING: seconds - sum(found.values()), **found}
