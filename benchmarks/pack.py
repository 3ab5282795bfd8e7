"""Words learned one by one, compared with the same words by `train-many`.

    python benchmarks/pack.py [--words 16] [--size N] [--out bench-pack] [--docs [NAME]]

By the clock: each held-out thing of the bundled world is learned by its own `pseudoword train`, and
all of them by one `pseudoword train-many`, as anybody would run them, with the default settings.
Half of the single runs come before, half after, so that a machine that gets slower does so for
both. The parts are those that a run tells at its end; what comes before them is Python and its
imports. The words of both are compared byte for byte, and by the similarity of their pictures to
the right ones.

By the step: packs of several sizes take steps in turns with matrix products. The limit is the
counted work of the steps at the rate of these products.

Words that are finished are kept, with their seconds: run it again to go on. `train-many` is then
measured again from its beginning.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import tomli_w

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import shared
from benchmarks.limit import MatrixRate, counted_flops, machine, synchronize
from pseudoword import formats
from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.runner import lesson
from pseudoword.benchmark.tasks import Task, thing_task
from pseudoword.cli.console import Console
from pseudoword.config import TrainConfig
from pseudoword.files import file_stem, write_whole
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.report.charts import empty_figure, png_of
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.planned import plan_run
from pseudoword.runs.run import begin
from pseudoword.runs.setup import set_up
from pseudoword.training.loop import train
from pseudoword.training.state import TrainState

SIZES = (1, 2, 4, 8, 16)
ROUNDS, STEPS = 4, 3
"""Each size takes so many steps in each round."""
SEEDS = range(2)
"""Of the pictures whose similarity is measured."""


@dataclass(frozen=True)
class Timed:
    """One command."""

    seconds: float
    """by the clock"""
    parts: Mapping[str, float]
    """part -> seconds"""


@dataclass(frozen=True)
class Row:
    """One word, learned alone and by `train-many`."""

    name: str
    timed: Timed
    """how long it took alone"""
    steps: int
    same_bytes: bool
    alone: float
    """similarity of the pictures of the word that was learned alone"""
    packed: float
    """the same, of the word that was learned with others"""


@dataclass(frozen=True)
class StepTime:
    """A step of a pack."""

    size: int
    seconds: float
    flops: int
    """counted operations"""


class PackBenchmark:
    """The things to learn, and a folder in which everything is kept."""

    def __init__(self, words: int, out: Path, console: Console) -> None:
        self.out, self.console = out, console
        self.family: Family = base_model.load_named("emoji")
        art = load()
        self.tasks = [thing_task(art, t, self.family.resolution) for t in art.held_out[:words]]

    def settings(self, task: Task) -> dict[str, str]:
        """The settings that differ between the words; the pictures are written."""
        settings = lesson(task, self.out / "pictures" / file_stem(task.name))
        return {**settings, "pictures": str(*settings["pictures"])}

    def by_the_clock(self, size: Sequence[str]) -> tuple[list[Timed], Timed]:
        """Learn all words in both ways: how long each took alone, and `train-many` for all."""
        half = len(self.tasks) // 2
        before = [self.alone(task) for task in self.tasks[:half]]
        together = self.together(size)
        return [*before, *map(self.alone, self.tasks[half:])], together

    def alone(self, task: Task) -> Timed:
        """Learn a word with a command of its own, if that is not done yet."""
        kept = self.out / "alone" / f"{file_stem(task.name)}.json"
        if not kept.exists():
            self.console.phase(f"learning {task.name} alone")
            folder = self.out / "alone" / file_stem(task.name)
            shutil.rmtree(folder, ignore_errors=True)
            given = self.settings(task)
            timed = _timed("train", given.pop("pictures"), "--out", folder, *_flags(given))
            write_whole(kept, json.dumps(asdict(timed)).encode())
        return Timed(**json.loads(kept.read_bytes()))

    def together(self, size: Sequence[str]) -> Timed:
        """Learn all words with one command."""
        self.console.phase(f"learning {len(self.tasks)} words with train-many")
        shutil.rmtree(self.out / "together", ignore_errors=True)
        concepts = self.out / "concepts.toml"
        listed = tomli_w.dumps({"concept": [self.settings(task) for task in self.tasks]})
        write_whole(concepts, listed.encode())
        return _timed("train-many", concepts, "--out", self.out / "together", *size)

    def row(self, task: Task, timed: Timed, model: SimilarityModel) -> Row:
        """Compare a word that was learned in both ways."""
        self.console.phase(f"drawing {task.name}")
        runs = [RunFolder(self.out / way / file_stem(task.name)) for way in ("alone", "together")]
        same = runs[0].concept.read_bytes() == runs[1].concept.read_bytes()
        alone = self.similarity(task, runs[0].concept, model)
        packed = alone if same else self.similarity(task, runs[1].concept, model)
        steps = int(runs[0].read_log()[-1]["step"])
        return Row(task.name, timed, steps, same, alone, packed)

    def similarity(self, task: Task, path: Path, model: SimilarityModel) -> float:
        """Mean cosine of pictures drawn with the word in a file to the right ones."""
        word = formats.read(path)
        prompts = [prompt for prompt in task.prompts if prompt.single]
        return shared.similarity(self.family, model, prompts, word.token, [word], SEEDS)

    def steps(self) -> tuple[list[StepTime], MatrixRate]:
        """Measure the steps of packs of several sizes, in turns with matrix products."""
        sizes = [size for size in SIZES if size <= len(self.tasks)]
        rate = MatrixRate(self.family.device, self.family.dtype)
        with TemporaryDirectory() as folder:
            states = [self.state(task, Path(folder)) for task in self.tasks[: sizes[-1]]]
        seconds: dict[int, list[float]] = {size: [] for size in sizes}
        flops = {size: counted_flops(lambda: self.take(states[:size], 1)) for size in sizes}  # noqa: B023
        self.console.phase("taking steps")
        for done in range(ROUNDS):
            for size in sizes:
                rate.measure()
                seconds[size] += self.take(states[:size], STEPS)
            self.console.advance(done + 1, ROUNDS)
        return [StepTime(s, median(seconds[s]), flops[s]) for s in sizes], rate

    def take(self, states: Sequence[TrainState], steps: int) -> list[float]:
        """The seconds of each of so many steps of a pack."""
        seconds = []
        began = time.perf_counter()
        for _ in islice(train(self.family, states), steps):
            synchronize(self.family.device)
            now = time.perf_counter()
            seconds.append(now - began)
            began = now
        return seconds

    def state(self, task: Task, folder: Path) -> TrainState:
        """A word before its first step, as the defaults have it but for what ends a run."""
        given = {**self.settings(task), "out": folder / file_stem(task.name)}
        given |= {"lr": "0.005", "steps": 10_000, "timestep_sampling": "uniform", "preview": ()}
        config = TrainConfig.check(**given)
        setup = set_up(self.family, plan_run(config, self.console))
        return begin(self.family, setup).state


def _flags(settings: Mapping[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


def _timed(*arguments: object) -> Timed:
    """Run a command: how long it takes by the clock, and each of its parts."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "pseudoword", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    return Timed(seconds, shared.parts(done.stdout + done.stderr, seconds))


def table(
    rows: Sequence[Row], together: Timed, times: Sequence[StepTime], flops: float, where: str
) -> str:
    """Everything as Markdown."""
    alone = sum(row.timed.seconds for row in rows)
    parts = list(dict.fromkeys(part for t in (rows[0].timed, together) for part in t.parts))
    worst = max(abs(row.packed / row.alone - 1) for row in rows)
    best = max(times, key=lambda one: one.flops / one.seconds)
    lines = [
        f"*Measured on: {where}.*",
        "",
        "| | seconds by the clock | words an hour |",
        "|---|---|---|",
        f"| {len(rows)} × `train` | {alone:.0f} | {_an_hour(len(rows), alone):.0f} |",
        f"| `train-many` | {together.seconds:.0f} | {_an_hour(len(rows), together.seconds):.0f} |",
        "",
        f"- {alone / together.seconds:.2f} times the words an hour.",
        f"- {sum(row.same_bytes for row in rows)} of {len(rows)} words have the same bytes; the "
        f"similarities of a word differ by {worst:.1%} at most.",
        f"- Of the counted limit: {_part(best, flops):.2f} with {best.size} words in a step. "
        f"Matrix products do {flops / 1e9:.0f} GFLOP/s here.",
        "",
        "| words in a step | ms a step | ms a word and step | of the limit |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one.size} | {1000 * one.seconds:.0f} | {1000 * one.seconds / one.size:.1f} "
        f"| {_part(one, flops):.2f} |"
        for one in times
    ]
    lines += ["", "| part | alone: s a word | with others: s a word |", "|---|---|---|"]
    for part in parts:
        each = mean(row.timed.parts.get(part, 0.0) for row in rows)
        lines.append(f"| {part} | {each:.2f} | {together.parts.get(part, 0.0) / len(rows):.2f} |")
    lines += ["", "| word | alone: s | steps | similarity | with others | same bytes |"]
    lines.append("|---|---|---|---|---|---|")
    lines += [
        f"| {row.name} | {row.timed.seconds:.1f} | {row.steps} | {row.alone:.3f} "
        f"| {row.packed:.3f} | {'yes' if row.same_bytes else 'no'} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _an_hour(words: int, seconds: float) -> float:
    return 3600 * words / seconds


def _part(one: StepTime, flops: float) -> float:
    """How much of the limit's speed a step reaches."""
    return one.flops / flops / one.seconds


def chart(
    rows: Sequence[Row], together: Timed, times: Sequence[StepTime], flops: float, where: str
) -> bytes:
    """Words an hour, and the time of a step beside its limit, as PNG."""
    figure = empty_figure(8, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    alone = sum(row.timed.seconds for row in rows)
    hourly = [_an_hour(len(rows), seconds) for seconds in (alone, together.seconds)]
    bars = left.bar(["one by one", "train-many"], hourly, color=["#888888", "#3060c0"])
    left.bar_label(bars, [f"{each:.0f}" for each in hourly])
    left.set(ylabel="words an hour, by the clock")
    left.margins(y=0.1)
    sizes = [one.size for one in times]
    right.plot(sizes, [1000 * t.seconds / t.size for t in times], color="#3060c0", marker=".")
    limits = [1000 * t.flops / flops / t.size for t in times]
    right.plot(sizes, limits, color="#c03030", linestyle="--", label="limit")
    right.set(xlabel="words in a step", ylabel="ms a word and step", xticks=sizes)
    right.set_ylim(bottom=0)
    right.legend(frameon=False)
    figure.suptitle(where, fontsize=8)
    return png_of(figure)


def main() -> None:
    """Learn, measure, and write the table and the picture."""
    parser = shared.Parser(__doc__)
    parser.add_things("--words", 16)
    parser.add_argument("--size", type=int, help="words of a pack; train-many's --pack")
    parser.add_argument("--out", type=Path, default=Path("bench-pack"))
    written = f"{shared.FOR_DOCS}, as NAME.md and NAME.png; by default pack"
    parser.add_argument("--docs", metavar="NAME", nargs="?", const="pack", help=written)
    arguments = parser.parse_args()
    with shared.kept(arguments.out, "pack"), Console() as console:
        benchmark = PackBenchmark(arguments.words, arguments.out, console)
        times, rate = benchmark.steps()
        size = ["--pack", str(arguments.size)] if arguments.size else []
        each, together = benchmark.by_the_clock(size)
        model = SimilarityModel()
        rows = [
            benchmark.row(task, its, model) for task, its in zip(benchmark.tasks, each, strict=True)
        ]
        found = (rows, together, times, rate.flops, machine(benchmark.family.device))
        print(table(*found))
        place = shared.DOCS / arguments.docs if arguments.docs else arguments.out / "pack"
        write_whole(place.with_suffix(".md"), table(*found).encode())
        write_whole(place.with_suffix(".png"), chart(*found))


if __name__ == "__main__":
    main()
