"""`--steps auto --lr auto --vectors auto` against a grid over rate × steps made by hand.

    python benchmarks/auto.py [--concepts 8] [--out bench-auto]

Learns held-out things of the bundled world, whose right pictures are known, at every rate; the
grid's rates are constant, so one run with copies of its word gives all numbers of steps. A word's
similarity is the mean cosine, as the judge sees them, of pictures drawn in styles and on
backgrounds it was not learned on, to the true ones.

The best of many noisy scores flatters itself. So the grid's best word is chosen with some seeds,
and compared with the word of auto with others. Beside auto stands how well the winner's own rate
and steps do with another seed. Whatever is finished is kept: run again to go on.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from pseudoword import families, formats
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.console import Console
from pseudoword.families.base import Family
from pseudoword.files import file_stem, write_whole
from pseudoword.generation import generate
from pseudoword.groundtruth.artwork import load
from pseudoword.groundtruth.bench import Exam
from pseudoword.groundtruth.exam import Paper, write_lesson
from pseudoword.judge import Judge
from pseudoword.learn import learn
from pseudoword.probe import STEPS as PROBE_STEPS
from pseudoword.run import RunFolder

DOCS = Path(__file__).parent.parent / "docs" / "benchmark" / "auto.md"
RATES = ("0.0005", "0.001", "0.002", "0.005", "0.01")
STEPS = (50, 100, 200, 400)
AUTO = {"lr": "auto", "steps": "auto", "vectors": "auto"}
CHOOSING, COMPARING = range(100, 102), range(16)
"""Seeds: two to choose the grid's best word, others to compare it."""
NEAR = 0.95
ANEW = 1
"""Seed of learning once more; the grid and auto have the default's."""


@dataclass(frozen=True)
class Word:
    """One word of the grid."""

    rate: str
    steps: int
    similarity: float
    """with the seeds for choosing"""


@dataclass(frozen=True)
class Row:
    """What was found for one concept. Similarities but the grid's are with the same seeds."""

    concept: str
    grid: Sequence[Word]
    start: float
    best: float
    anew: float
    """by the winner's rate and steps, with another seed"""
    auto: float
    auto_rate: str
    auto_steps: int
    """all that were taken until it stopped"""

    @property
    def winner(self) -> Word:
        """The grid's best word."""
        return max(self.grid, key=lambda word: word.similarity)

    @property
    def near(self) -> bool:
        """Whether auto is as good as the winner, within 5 %."""
        return self.auto >= NEAR * self.best

    @property
    def anew_is_near(self) -> bool:
        """Whether the winner's own settings do as well a second time, within 5 %."""
        return self.anew >= NEAR * self.best

    @property
    def half_would_do(self) -> bool:
        """Whether the grid has a word as good, within 5 %, in half of its winner's steps."""
        enough = NEAR * self.winner.similarity
        return any(w.steps <= self.winner.steps / 2 and w.similarity >= enough for w in self.grid)

    @property
    def half_did(self) -> bool:
        """Whether auto took no more than half of the winner's steps."""
        return self.auto_steps <= self.winner.steps / 2


class Contest:
    """A base model, a judge, and a folder in which everything is kept."""

    def __init__(self, out: Path, console: Console) -> None:
        self.out, self.console = out, console
        self.family: Family = families.load("emoji")
        self.judge = Judge()

    def learn(self, papers: Sequence[Paper], name: str, **settings: Any) -> list[RunFolder]:
        """Learn all of them as a pack, with these settings."""
        configs = []
        for paper in papers:
            lesson = self.out / "lessons" / file_stem(paper.name)
            write_lesson(paper, lesson)
            configs.append(
                TrainConfig.check(
                    pictures=[lesson],
                    token=f"<{file_stem(paper.name)}>",
                    init=paper.start,
                    template="captioned",
                    preview=(),
                    out=self.out / name / file_stem(paper.name),
                    **settings,
                )
            )
        return [RunFolder(word.folder) for word in learn(configs, self.console)]

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

    def row(self, paper: Paper, grid: dict[str, RunFolder], auto: RunFolder) -> Row:
        """Draw and compare."""
        self.console.phase(f"drawing {paper.name}")
        words: list[Word] = []
        for rate, folder in grid.items():
            for steps in STEPS:
                found = self.of_word(paper, copy_at(folder, steps), CHOOSING)
                words.append(Word(rate, steps, found))
                self.console.advance(len(words), len(grid) * len(STEPS), paper.name)
        best = max(words, key=lambda word: word.similarity)
        settings = {"lr": best.rate, "steps": best.steps, "evaluate_every": 0, "seed": ANEW}
        [anew] = self.learn([paper], "anew", **settings)
        return Row(
            paper.name,
            words,
            start=self.similarity(paper, paper.start, None, COMPARING),
            best=self.of_word(paper, copy_at(grid[best.rate], best.steps), COMPARING),
            anew=self.of_word(paper, anew.concept, COMPARING),
            auto=self.of_word(paper, auto.concept, COMPARING),
            auto_rate=formats.read(auto.concept).provenance["lr"],
            auto_steps=int(auto.read_log()[-1]["step"]),
        )


def copy_at(folder: RunFolder, steps: int) -> Path:
    """The word as it was after so many steps."""
    return folder.path / "words" / f"step-{steps}.safetensors"


def main() -> None:
    """Learn, draw, compare, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--concepts", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("bench-auto"))
    asked = parser.parse_args()
    with Console() as console:
        contest = Contest(asked.out, console)
        papers = [
            replace(paper, questions=[q for q in paper.questions if q.alone])
            for paper in Exam.of(load(), contest.family.resolution, asked.concepts).things
        ]
        hand = partial(
            contest.learn, papers, steps=max(STEPS), save_every=min(STEPS), evaluate_every=0
        )
        grid = {rate: hand(f"grid-{rate}", lr=rate) for rate in RATES}
        auto = contest.learn(papers, "auto", **AUTO)
        rows = [
            contest.row(paper, {rate: runs[i] for rate, runs in grid.items()}, auto[i])
            for i, paper in enumerate(papers)
        ]
    text = f"{table(rows)}\n\n{mean_grid(rows)}\n"
    print(text)
    write_whole(DOCS, text.encode())


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, and how many did as hoped."""
    lines = [
        "| thing | starting word | grid's best | its rate, steps | the same anew | anew / best "
        "| auto | its rate, steps | auto / best |",
        "|" + "---|" * 9,
    ]
    lines += [
        f"| {row.concept} | {row.start:.3f} | {row.best:.3f} "
        f"| {row.winner.rate}, {row.winner.steps} | {row.anew:.3f} | {row.anew / row.best:.2f} "
        f"| {row.auto:.3f} | {row.auto_rate}, {row.auto_steps} | {row.auto / row.best:.2f} |"
        for row in rows
    ]
    possible = [row for row in rows if row.half_would_do]
    lines += [
        "",
        f"Within 5 % of the best: auto {sum(row.near for row in rows)} of {len(rows)}, the "
        f"winner's settings anew {sum(row.anew_is_near for row in rows)}. Mean part of the best: "
        f"auto {mean(row.auto / row.best for row in rows):.3f}, anew "
        f"{mean(row.anew / row.best for row in rows):.3f}. In at most half of the winner's "
        "steps, where the grid says that this would do: auto "
        f"{sum(row.half_did for row in possible)} of {len(possible)}. Auto's steps are all it "
        f"took until it stopped, without the {PROBE_STEPS} of its range test.",
    ]
    return "\n".join(lines)


def mean_grid(rows: Sequence[Row]) -> str:
    """Mean similarity at each rate and number of steps."""
    lines = [
        "| rate, steps | " + " | ".join(map(str, STEPS)) + " |",
        "|" + "---|" * (1 + len(STEPS)),
    ]
    for rate in RATES:
        cells = [
            [w.similarity for row in rows for w in row.grid if (w.rate, w.steps) == (rate, steps)]
            for steps in STEPS
        ]
        means = " | ".join(f"{sum(cell) / len(cell):.3f}" for cell in cells)
        lines.append(f"| {rate} | {means} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
