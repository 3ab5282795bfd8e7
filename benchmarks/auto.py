"""`--steps auto --lr auto --vectors auto`, compared with a grid of rates × steps.

    python benchmarks/auto.py [--concepts 16] [--after 16] [--out bench-auto] [--docs]

Held-out things of the bundled world, whose right pictures are known, are learned at every rate. The
grid's rates are constant, so one run with copies of its word gives all numbers of steps. The rest
is as in the paper: one vector of any norm, the last step's row, and uniform timesteps. The
similarity of a word is the mean cosine of its pictures to the reference pictures, in styles and on
backgrounds that it was not learned on.

The same settings give a better word with one seed than with another, so the best of twenty cells is
partly lucky. Therefore each cell is learned with two seeds and counts as their mean. The best cell
is chosen by other pictures than it is compared by, and its settings are learned again with other
seeds. The first sixteen things are left out, because auto was developed on them. What is finished
is kept: run it again to go on.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import shared
from pseudoword import formats
from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.results import markdown_table
from pseudoword.benchmark.runner import lesson
from pseudoword.benchmark.tasks import Task, TaskSet
from pseudoword.cli.console import Console
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.files import file_stem, write_whole
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.runner import learn
from pseudoword.training.learning_rate_finder import STEPS as PROBE_STEPS

RATES = ("0.0005", "0.001", "0.002", "0.005", "0.01")
STEPS = (50, 100, 200, 400)
CHOOSING, COMPARING = range(100, 102), range(8)
"""Seeds of drawing: two to choose the best cell, others to compare it."""
GRID, AGAIN, FRESH = (0, 1), (2, 3, 4), (8, 9, 10)
"""Seeds of learning: for the grid, for the best cell again, and for auto. Nothing of auto was
chosen with its seeds; some of it was chosen with the seeds from 2 to 7."""
AUTO = {"lr": "auto", "steps": "auto", "vectors": "auto"}
PLAIN = {"vectors": 1, "norm": "none", "average": False, "timestep_sampling": "uniform"}
NEAR = 0.95
RULE = "---"
SAMPLER_STEPS = 10
"""As in the tables of `pareto.py`."""


@dataclass(frozen=True)
class Cell:
    """A rate and a number of steps."""

    rate: str
    steps: int
    similarity: float
    """the mean over its words, with the seeds for choosing"""


@dataclass(frozen=True)
class Row:
    """The results for one concept."""

    concept: str
    grid: Sequence[Cell]
    best_cell: Cell
    start: float
    """of the starting word, with the seeds for choosing"""
    best: float
    """of the best cell's words, with the seeds for comparing"""
    again: float
    """of words learned again with the best cell's settings; the same seeds for comparing"""
    auto: float
    """of auto's words; the same seeds for comparing"""
    auto_steps: Sequence[int]
    """of each run, until it stopped"""

    @property
    def half_is_enough(self) -> bool:
        """Whether half of the best cell's steps give a word as good, within 5 %, in the grid."""
        enough = NEAR * self.best_cell.similarity
        return any(
            c.steps <= self.best_cell.steps / 2 and c.similarity >= enough for c in self.grid
        )

    @property
    def auto_took_half(self) -> bool:
        """Whether auto took at most half of the best cell's steps."""
        return mean(self.auto_steps) <= self.best_cell.steps / 2


class AutoBenchmark:
    """A base model, a similarity model, and a folder in which everything is kept."""

    def __init__(self, out: Path, console: Console) -> None:
        self.out, self.console = out, console
        self.family: Family = base_model.load_named("emoji")
        self.model = SimilarityModel()

    def tasks(self, concepts: int, after: int) -> list[Task]:
        """As many things as `concepts`, with the prompts that show nothing else."""
        things = TaskSet.build(load(), self.family.resolution, after + concepts).things[after:]
        return [replace(task, prompts=[p for p in task.prompts if p.single]) for task in things]

    def grid(self, tasks: Sequence[Task]) -> dict[str, list[list[RunFolder]]]:
        """All tasks, learned with each seed at each rate, with a copy at each number of steps."""
        settings = {**PLAIN, "steps": max(STEPS), "save_every": min(STEPS), "evaluate_every": 0}
        return {
            rate: self.learn(tasks, f"grid-{rate}", GRID, [{"lr": rate, **settings}] * len(tasks))
            for rate in RATES
        }

    def again(self, tasks: Sequence[Task], cells: Sequence[Cell]) -> list[list[RunFolder]]:
        """All tasks once more, each with the settings of its cell."""
        return self.learn(
            tasks,
            "again",
            AGAIN,
            [{**PLAIN, "lr": c.rate, "steps": c.steps, "evaluate_every": 0} for c in cells],
        )

    def auto(self, tasks: Sequence[Task]) -> list[list[RunFolder]]:
        """All tasks, learned with auto."""
        return self.learn(tasks, "auto", FRESH, [AUTO] * len(tasks))

    def learn(
        self,
        tasks: Sequence[Task],
        name: str,
        seeds: Sequence[int],
        settings: Sequence[Mapping[str, Any]],
    ) -> list[list[RunFolder]]:
        """Learn each task with its settings, as one pack for each seed.

        Returns:
            For each task, its run of each seed.
        """
        packs = [
            learn(
                [
                    self.config(task, f"{name}/{seed}", seed=seed, **its)
                    for task, its in zip(tasks, settings, strict=True)
                ],
                self.console,
            )
            for seed in seeds
        ]
        return [[RunFolder(word.folder) for word in words] for words in zip(*packs, strict=True)]

    def config(self, task: Task, name: str, **settings: Any) -> TrainConfig:
        """The settings to learn a task with; its training pictures are written."""
        stem = file_stem(task.name)
        return TrainConfig.check(
            **lesson(task, self.out / "lessons" / stem),
            preview=(),
            out=self.out / name / stem,
            **settings,
        )

    def similarity(self, task: Task, name: str, words: Sequence[Concept], seeds: range) -> float:
        """Mean cosine of pictures drawn with the word `name` to the task's references."""
        return shared.similarity(
            self.family, self.model, task.prompts, name, words, seeds, SAMPLER_STEPS
        )

    def of_word(self, task: Task, path: Path, seeds: range) -> float:
        """The similarity of the word in a file; it is kept beside the file."""
        kept = path.with_suffix(f".{seeds.start}-{seeds.stop}.json")
        if not kept.exists():
            word = formats.read(path)
            found = self.similarity(task, word.token, [word], seeds)
            write_whole(kept, json.dumps(found).encode())
        return float(json.loads(kept.read_bytes()))

    def mean_of(self, task: Task, words: Iterable[Path], seeds: range) -> float:
        """The mean of several words."""
        return mean(self.of_word(task, word, seeds) for word in words)

    def cells(self, task: Task, grid: Mapping[str, Sequence[RunFolder]]) -> list[Cell]:
        """The grid's similarities for one task."""
        self.console.phase(f"drawing the grid for {task.name}")
        found: list[Cell] = []
        for rate, folders in grid.items():
            for steps in STEPS:
                words = [copy_at(folder, steps) for folder in folders]
                found.append(Cell(rate, steps, self.mean_of(task, words, CHOOSING)))
                self.console.advance(len(found), len(grid) * len(STEPS), task.name)
        return found

    def row(
        self,
        task: Task,
        cells: Sequence[Cell],
        best: Iterable[Path],
        again: Iterable[RunFolder],
        auto: Sequence[RunFolder],
    ) -> Row:
        """Draw and compare."""
        self.console.phase(f"drawing {task.name}")
        return Row(
            task.name,
            cells,
            best_of(cells),
            start=self.similarity(task, task.init_word, [], CHOOSING),
            best=self.mean_of(task, best, COMPARING),
            again=self.mean_of(task, (one.concept for one in again), COMPARING),
            auto=self.mean_of(task, (one.concept for one in auto), COMPARING),
            auto_steps=[steps_of(one) for one in auto],
        )


def steps_of(folder: RunFolder) -> int:
    """How many steps a run has taken."""
    return int(folder.read_log()[-1]["step"])


def best_of(cells: Sequence[Cell]) -> Cell:
    """The cell with the highest similarity."""
    return max(cells, key=lambda cell: cell.similarity)


def copy_at(folder: RunFolder, steps: int) -> Path:
    """The word as it was after so many steps."""
    return folder.path / "words" / f"step-{steps}.safetensors"


def main() -> None:
    """Learn, draw, compare, and write the table."""
    parser = shared.Parser(__doc__)
    parser.add_things("--concepts", 16, least=2)
    parser.add_things("--after", 16, least=0)
    parser.add_argument("--out", type=Path, default=Path("bench-auto"))
    parser.add_argument("--docs", action="store_true", help=shared.FOR_DOCS)
    arguments = parser.parse_args()
    with shared.kept(arguments.out, "auto"), Console() as console:
        benchmark = AutoBenchmark(arguments.out, console)
        tasks = benchmark.tasks(arguments.concepts, arguments.after)
        if len(tasks) < arguments.concepts:
            parser.error(f"--after: only {len(tasks)} things are left")
        grid = benchmark.grid(tasks)
        cells = [
            benchmark.cells(task, {rate: runs[i] for rate, runs in grid.items()})
            for i, task in enumerate(tasks)
        ]
        best_cells = [best_of(some) for some in cells]
        again = benchmark.again(tasks, best_cells)
        auto = benchmark.auto(tasks)
        rows = [
            benchmark.row(
                task,
                cells[i],
                [copy_at(folder, cell.steps) for folder in grid[cell.rate][i]],
                again[i],
                auto[i],
            )
            for i, (task, cell) in enumerate(zip(tasks, best_cells, strict=True))
        ]
        text = f"{table(rows)}\n\n{mean_grid(rows)}\n"
        folder = shared.DOCS if arguments.docs else arguments.out
        write_whole(folder / "auto.md", text.encode())
    print(text)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, and sentences that sum them up."""
    heads = ["thing", "starting word", "grid's best", "its rate, steps", "learned again"]
    heads += ["auto", "its steps", "auto / best", "auto / again"]
    lines = [
        [
            *(row.concept, f"{row.start:.3f}", f"{row.best:.3f}"),
            *(f"{row.best_cell.rate}, {row.best_cell.steps}", f"{row.again:.3f}"),
            *(f"{row.auto:.3f}", ", ".join(map(str, row.auto_steps))),
            *(f"{row.auto / row.best:.2f}", f"{row.auto / row.again:.2f}"),
        ]
        for row in rows
    ]
    possible = [row for row in rows if row.half_is_enough]
    taken = mean(mean(row.auto_steps) for row in rows)
    best_steps = mean(row.best_cell.steps for row in rows)

    def beside(some: str, other: str) -> str:
        return _beside([getattr(row, some) / getattr(row, other) for row in rows])

    return "\n".join(
        [
            markdown_table([heads, *lines], RULE),
            "",
            f"- Auto is {beside('auto', 'best')} of the grid's best words, and "
            f"{beside('auto', 'again')} of words learned again with their settings.",
            f"- These, learned again with other seeds, are {beside('again', 'best')} of the grid's "
            "best words.",
            one_for_all(rows),
            "- In at most half of the best cell's steps, where the grid says that half is enough: "
            f"{sum(row.auto_took_half for row in possible)} of {len(possible)}. Auto takes "
            f"{taken:.0f} on average, the best cells {best_steps:.0f}. Its steps are all until it "
            f"stopped, without the {PROBE_STEPS} of its range test and the samples "
            "that measure which timesteps matter.",
        ]
    )


def one_for_all(rows: Sequence[Row]) -> str:
    """How near one rate and number of steps for all things comes.

    Measured with the pictures that chose the best cells, so it looks a little worse than it is.
    """
    best = max(
        range(len(RATES) * len(STEPS)), key=lambda i: mean(r.grid[i].similarity for r in rows)
    )
    rate, steps = rows[0].grid[best].rate, rows[0].grid[best].steps
    parts = [row.grid[best].similarity / row.best_cell.similarity for row in rows]
    return (
        f"- One rate and number of steps for all, {rate} and {steps}, is {_beside(parts)} of them."
    )


def _beside(parts: Sequence[float]) -> str:
    near = sum(part >= NEAR for part in parts)
    return (
        f"on average {mean(parts):.3f} (standard error {shared.error(parts):.3f}; within 5 % for "
        f"{near} of {len(parts)})"
    )


def mean_grid(rows: Sequence[Row]) -> str:
    """Mean similarity at each rate and number of steps."""
    lines: list[list[object]] = [["rate, steps", *STEPS]]
    for rate in RATES:
        cells = [
            [c.similarity for row in rows for c in row.grid if (c.rate, c.steps) == (rate, steps)]
            for steps in STEPS
        ]
        lines.append([rate, *(f"{mean(cell):.3f}" for cell in cells)])
    return markdown_table(lines, RULE)


if __name__ == "__main__":
    main()
