"""`--steps auto --lr auto --vectors auto` against a grid over rate × steps made by hand.

    python benchmarks/auto.py [--concepts 16] [--after 16] [--out bench-auto]

Learns held-out things of the bundled world, whose right pictures are known, at every rate; the
grid's rates are constant, so one run with copies of its word gives all numbers of steps. All else
in it is as in the paper: one vector, of whatever length it comes to after the last step, and
uniform timesteps. A word's similarity is the mean
cosine, as the judge sees them, of pictures drawn in styles and on backgrounds it was not learned
on, to the true ones.

The same settings give a better word with one seed than with another, and the best of twenty is
partly a lucky one. So each cell of the grid is learned twice and counts as the mean, the best is
chosen by other drawings than it is compared by, and its settings are learned again with other
seeds. The first sixteen things are left out: they have been looked at most
while auto was made. Whatever is finished is kept: run again to go on.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pseudoword import formats
from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.image_similarity import Judge
from pseudoword.benchmark.runner import Exam
from pseudoword.benchmark.tasks import Paper, write_lesson
from pseudoword.cli.console import Console
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.files import file_stem, write_whole
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.runner import learn
from pseudoword.training.importance import EACH, PARTS
from pseudoword.training.learning_rate_finder import STEPS as PROBE_STEPS

DOCS = Path(__file__).parent.parent / "docs" / "benchmark" / "auto.md"
RATES = ("0.0005", "0.001", "0.002", "0.005", "0.01")
STEPS = (50, 100, 200, 400)
CHOOSING, COMPARING = range(100, 102), range(8)
"""Seeds of drawing: two to choose the grid's best, others to compare it."""
GRID, AGAIN, FRESH = (0, 1), (2, 3, 4), (8, 9, 10)
"""Seeds of learning: for the grid; for what it found best; for auto. By the last nothing of auto
has been chosen; by those from 2 to 7 some of it has."""
AUTO = {"lr": "auto", "steps": "auto", "vectors": "auto"}
PLAIN = {"vectors": 1, "norm": "none", "average": False, "timestep_spread": "uniform"}
NEAR = 0.95


@dataclass(frozen=True)
class Cell:
    """A rate and a number of steps."""

    rate: str
    steps: int
    similarity: float
    """with the seeds for choosing, the mean over its words"""


@dataclass(frozen=True)
class Row:
    """What was found for one concept."""

    concept: str
    grid: Sequence[Cell]
    winner: Cell
    """the best of them"""
    start: float
    """of the starting word, with the seeds for choosing"""
    best: float
    """of the winner's words, with the seeds for comparing"""
    again: float
    """of words learned again as the winner's were, with the same"""
    auto: float
    """of auto's words, with the same"""
    auto_steps: Sequence[int]
    """each time: all that were taken until it stopped"""

    @property
    def half_would_do(self) -> bool:
        """Whether the grid is as good, within 5 %, somewhere in half of its winner's steps."""
        enough = NEAR * self.winner.similarity
        return any(c.steps <= self.winner.steps / 2 and c.similarity >= enough for c in self.grid)

    @property
    def half_did(self) -> bool:
        """Whether auto took no more than half of the winner's steps."""
        return mean(self.auto_steps) <= self.winner.steps / 2


class Contest:
    """A base model, a judge, and a folder in which everything is kept."""

    def __init__(self, out: Path, console: Console) -> None:
        self.out, self.console = out, console
        self.family: Family = base_model.load("emoji")
        self.judge = Judge()

    def papers(self, concepts: int, after: int) -> list[Paper]:
        """So many things, with the questions that show them alone."""
        things = Exam.of(load(), self.family.resolution, after + concepts).things[after:]
        return [replace(one, questions=[q for q in one.questions if q.alone]) for one in things]

    def grid(self, papers: Sequence[Paper]) -> dict[str, list[list[RunFolder]]]:
        """All of them, learned with each seed at each rate, with a copy at each number of steps."""
        settings = {**PLAIN, "steps": max(STEPS), "save_every": min(STEPS), "evaluate_every": 0}
        return {
            rate: self.learn(papers, f"grid-{rate}", GRID, [{"lr": rate, **settings}] * len(papers))
            for rate in RATES
        }

    def again(self, papers: Sequence[Paper], cells: Sequence[Cell]) -> list[list[RunFolder]]:
        """All of them once more, each with a cell's settings."""
        return self.learn(
            papers,
            "again",
            AGAIN,
            [{**PLAIN, "lr": c.rate, "steps": c.steps, "evaluate_every": 0} for c in cells],
        )

    def auto(self, papers: Sequence[Paper]) -> list[list[RunFolder]]:
        """All of them, learned without choosing."""
        return self.learn(papers, "auto", FRESH, [AUTO] * len(papers))

    def learn(
        self,
        papers: Sequence[Paper],
        name: str,
        seeds: Sequence[int],
        settings: Sequence[Mapping[str, Any]],
    ) -> list[list[RunFolder]]:
        """Learn each with its settings, all as a pack for each seed; for each, its runs."""
        packs = [
            learn(
                [
                    self.config(paper, f"{name}/{seed}", seed=seed, **its)
                    for paper, its in zip(papers, settings, strict=True)
                ],
                self.console,
            )
            for seed in seeds
        ]
        return [[RunFolder(word.folder) for word in words] for words in zip(*packs, strict=True)]

    def config(self, paper: Paper, name: str, **settings: Any) -> TrainConfig:
        """How one of them is learned; its lesson is written."""
        lesson = self.out / "lessons" / file_stem(paper.name)
        write_lesson(paper, lesson)
        return TrainConfig.check(
            pictures=[lesson],
            token=f"<{file_stem(paper.name)}>",
            init=paper.start,
            template="captioned",
            preview=(),
            out=self.out / name / file_stem(paper.name),
            **settings,
        )

    def similarity(self, paper: Paper, name: str, word: Concept | None, seeds: range) -> float:
        """Mean cosine of what is drawn by `name` to the paper's true pictures."""
        prompts = [q.prompt.replace("[name]", name) for q in paper.questions for _ in seeds]
        drawn = generate(
            self.family,
            prompts,
            [word] if word else [],
            seeds=[*seeds] * len(paper.questions),
        )
        true = self.judge.features([q.truth for q in paper.questions for _ in seeds])
        return float((self.judge.features(drawn) * true).sum(1).mean())

    def of_word(self, paper: Paper, path: Path, seeds: range) -> float:
        """The same for the word in a file; kept beside it."""
        kept = path.with_suffix(f".{seeds.start}-{seeds.stop}.json")
        if not kept.exists():
            word = formats.read(path)
            found = self.similarity(paper, word.token, word, seeds)
            write_whole(kept, json.dumps(found).encode())
        return float(json.loads(kept.read_bytes()))

    def mean_of(self, paper: Paper, words: Iterable[Path], seeds: range) -> float:
        """The mean of several words."""
        return mean(self.of_word(paper, word, seeds) for word in words)

    def cells(self, paper: Paper, grid: Mapping[str, Sequence[RunFolder]]) -> list[Cell]:
        """What the grid gives for one of them."""
        self.console.phase(f"drawing the grid for {paper.name}")
        found: list[Cell] = []
        for rate, folders in grid.items():
            for steps in STEPS:
                words = [copy_at(folder, steps) for folder in folders]
                found.append(Cell(rate, steps, self.mean_of(paper, words, CHOOSING)))
                self.console.advance(len(found), len(grid) * len(STEPS), paper.name)
        return found

    def row(
        self,
        paper: Paper,
        cells: Sequence[Cell],
        best: Iterable[Path],
        again: Iterable[RunFolder],
        auto: Sequence[RunFolder],
    ) -> Row:
        """Draw and compare."""
        self.console.phase(f"drawing {paper.name}")
        return Row(
            paper.name,
            cells,
            best_of(cells),
            start=self.similarity(paper, paper.start, None, CHOOSING),
            best=self.mean_of(paper, best, COMPARING),
            again=self.mean_of(paper, (one.concept for one in again), COMPARING),
            auto=self.mean_of(paper, (one.concept for one in auto), COMPARING),
            auto_steps=[steps_of(one) for one in auto],
        )


def steps_of(folder: RunFolder) -> int:
    """How many were taken."""
    return int(folder.read_log()[-1]["step"])


def best_of(cells: Sequence[Cell]) -> Cell:
    """The grid's best."""
    return max(cells, key=lambda cell: cell.similarity)


def copy_at(folder: RunFolder, steps: int) -> Path:
    """The word as it was after so many steps."""
    return folder.path / "words" / f"step-{steps}.safetensors"


def main() -> None:
    """Learn, draw, compare, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--concepts", type=int, default=16)
    parser.add_argument("--after", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("bench-auto"))
    asked = parser.parse_args()
    if asked.concepts < 2:
        parser.error("--concepts: at least two are needed for a mean and its error")
    with Console() as console:
        contest = Contest(asked.out, console)
        papers = contest.papers(asked.concepts, asked.after)
        grid = contest.grid(papers)
        cells = [
            contest.cells(paper, {rate: runs[i] for rate, runs in grid.items()})
            for i, paper in enumerate(papers)
        ]
        winners = [best_of(some) for some in cells]
        again = contest.again(papers, winners)
        auto = contest.auto(papers)
        rows = [
            contest.row(
                paper,
                cells[i],
                [copy_at(folder, winner.steps) for folder in grid[winner.rate][i]],
                again[i],
                auto[i],
            )
            for i, (paper, winner) in enumerate(zip(papers, winners, strict=True))
        ]
    text = f"{table(rows)}\n\n{mean_grid(rows)}\n"
    print(text)
    write_whole(DOCS, text.encode())


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, and how many did as hoped."""
    heads = ["thing", "starting word", "grid's best", "its rate, steps", "learned again"]
    heads += ["auto", "its steps", "auto / best", "auto / again"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += [
        f"| {row.concept} | {row.start:.3f} | {row.best:.3f} "
        f"| {row.winner.rate}, {row.winner.steps} | {row.again:.3f} | {row.auto:.3f} "
        f"| {', '.join(map(str, row.auto_steps))} | {row.auto / row.best:.2f} "
        f"| {row.auto / row.again:.2f} |"
        for row in rows
    ]
    possible = [row for row in rows if row.half_would_do]
    taken = mean(mean(row.auto_steps) for row in rows)
    won = mean(row.winner.steps for row in rows)

    def beside(some: str, other: str) -> str:
        return _beside([getattr(row, some) / getattr(row, other) for row in rows])

    return "\n".join(
        [
            *lines,
            "",
            f"- Auto is {beside('auto', 'best')} of the grid's best words, and "
            f"{beside('auto', 'again')} of words learned again with their settings.",
            f"- These, learned again with other seeds, are {beside('again', 'best')} of the grid's "
            "best words.",
            one_for_all(rows),
            "- In at most half of the winner's steps, where the grid says that this would do: "
            f"{sum(row.half_did for row in possible)} of {len(possible)}. Auto takes {taken:.0f} "
            f"on average, the winners {won:.0f}. Its steps are all until it stopped, without the "
            f"{PROBE_STEPS} of its range test and the {PARTS * EACH} samples by which it spreads "
            "timesteps.",
        ]
    )


def one_for_all(rows: Sequence[Row]) -> str:
    """What somebody reaches who has one rate and number of steps for everything.

    By the drawings that each thing's best was chosen with, which makes it look a little less near.
    """
    best = max(
        range(len(RATES) * len(STEPS)), key=lambda i: mean(r.grid[i].similarity for r in rows)
    )
    rate, steps = rows[0].grid[best].rate, rows[0].grid[best].steps
    parts = [row.grid[best].similarity / row.winner.similarity for row in rows]
    return (
        f"- One rate and number of steps for all, {rate} and {steps}, is {_beside(parts)} of them."
    )


def _beside(parts: Sequence[float]) -> str:
    near = sum(part >= NEAR for part in parts)
    error = stdev(parts) / len(parts) ** 0.5
    return (
        f"on average {mean(parts):.3f} (standard error {error:.3f}; within 5 % for {near} of "
        f"{len(parts)})"
    )


def mean_grid(rows: Sequence[Row]) -> str:
    """Mean similarity at each rate and number of steps."""
    lines = [
        "| rate, steps | " + " | ".join(map(str, STEPS)) + " |",
        "|" + "---|" * (1 + len(STEPS)),
    ]
    for rate in RATES:
        cells = [
            [c.similarity for row in rows for c in row.grid if (c.rate, c.steps) == (rate, steps)]
            for steps in STEPS
        ]
        means = " | ".join(f"{sum(cell) / len(cell):.3f}" for cell in cells)
        lines.append(f"| {rate} | {means} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
