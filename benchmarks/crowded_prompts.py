"""What keeps the rest of a prompt: likeness against partners that are drawn, and update the docs.

    python benchmarks/crowded_prompts.py [--out crowded] [--things 10] [--compare SETTINGS]

A small part of `pseudoword bench`: some things, two prompts for other styles, two for other
backgrounds and four with a partner, on either side, drawn in ten steps. So many settings can be
tried on two cores. Run it again after an interruption; it continues.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pseudoword.benchmark import artwork
from pseudoword.benchmark.image_similarity import BUNDLED, SimilarityModel
from pseudoword.benchmark.results import ResultTable, Row, pareto_plot
from pseudoword.benchmark.runner import BenchmarkRun, parse_variant
from pseudoword.benchmark.scoring import Scorer
from pseudoword.benchmark.tasks import Task, TaskPrompt, TaskSet
from pseudoword.cli.console import Console
from pseudoword.config import BenchConfig
from pseudoword.models import base_model

DOCS = Path(__file__).parent.parent / "docs" / "benchmark"

PROMPTS = {"style": 2, "background": 2, "word first": 2, "word last": 2}
"""The first so many prompts of each kind."""

SAMPLER_STEPS = 10

SHARED = "steps=80,timestep_sampling=stratified"
"""Short, and without a measurement before the first step."""

COMPARED = (
    SHARED,
    *(f"{SHARED},toward={share}" for share in (0.1, 0.2, 0.3)),
    *(f"{SHARED},keep_context={weight}" for weight in (0.05, 0.3)),
    f"{SHARED},rows=1",
    f"{SHARED},nested=0.5",
    f"{SHARED},nested=0.5,rows=1",
)


def main() -> None:
    """Compare, print the table, and write the table and the picture of the documentation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("crowded"))
    parser.add_argument("--things", type=int, default=10)
    parser.add_argument("--compare", action="append")
    arguments = parser.parse_args()
    with Console() as console:
        config = BenchConfig.check(
            out=arguments.out, sampler_steps=SAMPLER_STEPS, pack=arguments.things
        )
        art, family = artwork.load(), base_model.load(config)
        tasks = TaskSet.build(art, family.resolution)
        things = _some(tasks.things, arguments.things)
        known = _some(tasks.known_things, arguments.things)
        scorer = Scorer(SimilarityModel(BUNDLED), art, family.resolution)
        run = BenchmarkRun(family, scorer, config, console)
        start = run.score_baseline("starting words", things)
        names = run.score_baseline("known words", known)
        rows = []
        for variant in map(parse_variant, arguments.compare or COMPARED):
            found = run.score_variant(variant, things)
            name = variant.name.removeprefix(SHARED).removeprefix(",") or "as usual"
            rows.append(Row(name, found.scores, found.seconds / len(things)))
    table = ResultTable(f"{len(things)} things", start, names, rows)
    print(table.as_markdown())
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "crowded.md").write_text(table.as_markdown() + "\n", encoding="utf-8")
    (DOCS / "crowded.png").write_bytes(pareto_plot([table], "word first"))


def _some(tasks: Sequence[Task], count: int) -> list[Task]:
    """So many tasks, evenly chosen, with `PROMPTS` only."""
    places = np.linspace(0, len(tasks) - 1, count).round().astype(int)
    return [replace(tasks[i], prompts=_prompts(tasks[i])) for i in places]


def _prompts(task: Task) -> list[TaskPrompt]:
    return [
        prompt
        for kind, count in PROMPTS.items()
        for prompt in [p for p in task.prompts if p.kind == kind][:count]
    ]


if __name__ == "__main__":
    main()
