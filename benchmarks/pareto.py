"""Methods and settings of `train`: likeness, following of prompts and cost.

    python benchmarks/pareto.py [--things 20] [--few] [--shared SETTINGS] [--only NAME ...]
                                [--out pareto] [--docs]

Each of `COMPARED` learns the same things of `pseudoword bench`, in packs, and draws all of their
prompts once, in ten steps; with `--few`, eight prompts each, for which the whole takes half the
time. Cost is in seconds of CPU time, of all threads, so that other work on the machine hardly
changes it; give one thread (OMP_NUM_THREADS=1). What is finished is kept in the folder: run it
again to go on. `--only` compares some of the settings.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean as mean_of

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import shared
from benchmarks.shared import DOCS
from pseudoword.benchmark import artwork
from pseudoword.benchmark.image_similarity import BUNDLED, SimilarityModel
from pseudoword.benchmark.results import Interval, ResultTable, difference, markdown_table, mean
from pseudoword.benchmark.runner import BenchmarkRun
from pseudoword.benchmark.scoring import Scorer, Scores
from pseudoword.benchmark.tasks import Task, TaskPrompt, TaskSet
from pseudoword.cli.console import Console
from pseudoword.config import BenchConfig
from pseudoword.config.variants import Variant, parse_variant
from pseudoword.files import file_stem, write_whole
from pseudoword.models import base_model
from pseudoword.report.charts import empty_figure, png_of

SAMPLER_STEPS = 10
PACK = 10
RESAMPLES = 2000

FEW = {"style": 2, "background": 2, "word first": 2, "word last": 2}
"""With `--few`: the first so many prompts of each kind."""

COMPARED = {
    "defaults": "",
    "drawn with 1": "rows=1",
    "drawn with 2": "rows=2",
    "not nested": "nested=0",
    "not nested, drawn with 1": "nested=0,rows=1",
    "1 vector": "vectors=1",
    "no captions": "template=subject",
    "8 vectors": "vectors=8",
    "toward 0.1": "toward=0.1",
    "toward 0.2": "toward=0.2",
    "toward 0.3": "toward=0.3",
    "keep context 0.05": "keep_context=0.05",
    "half the rate": "lr=25%",
    "1 vector, half the rate": "vectors=1,lr=25%",
    "40 steps": "steps=40",
    "250 steps": "steps=250",
    "directional": "method=directional",
    "1 vector, no captions": "vectors=1,template=subject",
    "the paper's way": (
        "vectors=1,norm=none,average=false,timestep_sampling=uniform,lr=2e-3,steps=300"
    ),
    "layered": "method=layered",
    "free length": "norm=none",
    "twice the rate": "lr=100%",
    "keep context 0.3": "keep_context=0.3",
    "last step, no mean": "average=false",
}
"""Settings as `bench --compare` takes them. All are compared with the first ones."""

KINDS = ("style", "word first", "word last")
"""Kinds of prompt that the table has; the others are followed nearly always."""


@dataclass(frozen=True)
class Point:
    """What settings reach, and at what cost."""

    name: str
    settings: str
    scores: Scores
    cpu_s: float
    """of learning a word; nan if every pack was interrupted"""


class Costs:
    """CPU seconds of learning each word with some settings, in a file."""

    def __init__(self, out: Path, variant: Variant) -> None:
        self._words = out / file_stem(variant.learned_as)
        self._file = out / "cpu-seconds" / f"{self._words.name}.json"

    def learn(self, run: BenchmarkRun, variant: Variant, pack: Sequence[Task]) -> None:
        """Learn a pack. The time of one that had been interrupted is not known."""
        names = [task.name for task in pack]
        known = self._read()
        if not set(names) & known.keys():
            begun = any((self._words / file_stem(name)).exists() for name in names)
            begin = time.process_time()
            run.learn(variant, pack)
            each = None if begun else (time.process_time() - begin) / len(pack)
            self._write({**known, **dict.fromkeys(names, each)})

    def mean(self, tasks: Sequence[Task]) -> float:
        """Of these words, as far as it is known."""
        found = self._read()
        there = [each for task in tasks if (each := found.get(task.name)) is not None]
        return mean_of(there) if there else float("nan")

    def _read(self) -> dict[str, float | None]:
        found: dict[str, float | None] = (
            json.loads(self._file.read_text()) if self._file.exists() else {}
        )
        return found

    def _write(self, costs: dict[str, float | None]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._file, json.dumps(costs, indent=1).encode())


def measure(
    run: BenchmarkRun, out: Path, name: str, settings: str, things: Sequence[Task]
) -> Point:
    """Learn, draw and score with some settings."""
    variant = parse_variant(settings)
    costs = Costs(out, variant)
    for first in range(0, len(things), PACK):
        costs.learn(run, variant, things[first : first + PACK])
    scores = run.score_variant(variant, things).scores
    return Point(name, COMPARED[name], scores, costs.mean(things))


def together(*settings: str) -> str:
    """Settings and further ones."""
    return ",".join(filter(None, settings))


def some(tasks: Sequence[Task], count: int, few: bool) -> list[Task]:
    """So many tasks, evenly chosen; with few prompts, or all."""
    places = np.linspace(0, len(tasks) - 1, count).round().astype(int)
    chosen = [tasks[place] for place in places]
    return [replace(task, prompts=_few(task)) for task in chosen] if few else chosen


def _few(task: Task) -> list[TaskPrompt]:
    by_kind = {kind: [p for p in task.prompts if p.kind == kind] for kind in FEW}
    return [prompt for kind, prompts in by_kind.items() for prompt in prompts[: FEW[kind]]]


def on_front(points: Sequence[Point]) -> list[float]:
    """For each point, in what share of bootstrap samples of the things no other one is better
    both in identity and in following."""
    values = np.array([
        [[score.identity, score.following] for score in point.scores.values()] for point in points
    ])  # fmt: skip
    rng = np.random.default_rng(0)
    counts = np.zeros(len(points))
    for _ in range(RESAMPLES):
        means = values[:, rng.integers(values.shape[1], size=values.shape[1])].mean(1)
        better = (means[None] > means[:, None]).all(-1)
        counts += ~better.any(1)
    return [float(share) for share in counts / RESAMPLES]


def table(points: Sequence[Point], results: ResultTable) -> str:
    """All figures as Markdown, and the differences from the first settings."""
    first = points[0]
    heads = ["", "settings", "way to known words", "recognised", "following", *KINDS]
    heads += ["CPU s a word", "on the front"]
    lines = [heads]
    for name, scores in (("starting words", results.start), ("known words", results.known)):
        lines.append(["", f"*{name}*", "", *_percents(scores), "", ""])
    for number, (point, share) in enumerate(zip(points, on_front(points), strict=True), 1):
        way = results.gap_closed(point.scores).percent
        cost = "" if math.isnan(point.cpu_s) else f"{point.cpu_s:.1f}"
        cells = [_named(point), way, *_percents(point.scores), cost, f"{share:.0%}"]
        lines.append([str(number), *cells])
    apart_heads = [f"beside {first.name}", "identity", "recognised", "following", *KINDS]
    apart = [apart_heads]
    for point in points[1:]:
        found = [difference(point.scores, first.scores, name) for name in apart_heads[1:]]
        apart.append([point.name, *(one.points for one in found)])
    return f"{markdown_table(lines)}\n\n{markdown_table(apart)}"


def _named(point: Point) -> str:
    return f"{point.name} (`{point.settings}`)" if point.settings else point.name


def _percents(scores: Scores) -> list[str]:
    return [mean(scores, name).percent for name in ("recognised", "following", *KINDS)]


def picture(points: Sequence[Point], results: ResultTable) -> bytes:
    """Likeness over following and over partners that are drawn, as PNG.

    Numbers are those of the table, bars are standard errors, colours are CPU seconds a word. A line
    joins the settings that no others beat in both.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    figure = empty_figure(13, 6)
    panels = figure.subplots(1, 3, gridspec_kw={"width_ratios": (1, 1, 0.55)})
    costs = np.array([point.cpu_s for point in points])
    shades = colormaps["viridis"].with_extremes(bad="#999999")  # where the cost is not known
    costly = costs[np.isfinite(costs)] if np.isfinite(costs).any() else np.ones(1)
    scale = ScalarMappable(LogNorm(costly.min(), costly.max()), shades)
    colours = scale.to_rgba(np.ma.masked_invalid(costs))
    ways = [results.gap_closed(point.scores) for point in points]
    for axes, metric in zip(panels, ("following", "word first"), strict=False):
        found = [mean(point.scores, metric) for point in points]
        for number, (x, y, colour) in enumerate(zip(found, ways, colours, strict=True), 1):
            axes.errorbar(
                100 * x.mean, 100 * y.mean, xerr=100 * x.error, yerr=100 * y.error,
                color=colour, elinewidth=0.7, alpha=0.5,
            )  # fmt: skip
            axes.plot(100 * x.mean, 100 * y.mean, "o", color=colour, markersize=13)
            axes.annotate(
                str(number), (100 * x.mean, 100 * y.mean),
                ha="center", va="center", fontsize=8, zorder=9,
                color="black" if colour[1] > 0.6 else "white",
            )  # fmt: skip
        front = _front(found, ways)
        axes.plot(*zip(*front, strict=True), color="#888888", linewidth=0.8, zorder=0)
        known = mean(results.known, metric)
        axes.set_xlabel(f"{LABELS[metric]} (known words {known.percent})")
        axes.grid(alpha=0.2)
    panels[0].set_ylabel("identity, % of the way from starting words to known words")
    names = "\n".join(f"{number}  {point.name}" for number, point in enumerate(points, 1))
    panels[2].axis("off")
    panels[2].text(0, 1, names, va="top", fontsize=9, transform=panels[2].transAxes)
    bar = figure.colorbar(
        scale, ax=panels[2], label="CPU seconds a word", fraction=0.1, format="{x:.1f}"
    )
    bar.ax.yaxis.set_minor_formatter("{x:.1f}")
    return png_of(figure)


LABELS = {
    "following": "prompts that are followed, %",
    "word first": "partners drawn where the word comes first, %",
}


def _front(xs: Sequence[Interval], ys: Sequence[Interval]) -> list[tuple[float, float]]:
    """The means, in percent, of what nothing beats in both, by falling x."""
    front: list[tuple[float, float]] = []
    means = [(100 * x.mean, 100 * y.mean) for x, y in zip(xs, ys, strict=True)]
    for x, y in sorted(means, reverse=True):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def main() -> None:
    """Measure, and write the table and the picture of the documentation."""
    parser = shared.Parser(__doc__)
    parser.add_things("--things", 20, least=2)
    parser.add_argument("--few", action="store_true", help="eight prompts a thing")
    parser.add_argument("--shared", default="", help="settings that all have")
    parser.add_argument("--only", nargs="+", choices=COMPARED, metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("pareto"))
    parser.add_argument("--docs", action="store_true", help=shared.FOR_DOCS)
    asked = parser.parse_args()
    with shared.kept(asked.out, "pareto", few=asked.few), Console() as console:
        config = BenchConfig.check(out=asked.out, sampler_steps=SAMPLER_STEPS, pack=PACK)
        art, family = artwork.load(), base_model.load(config)
        tasks = TaskSet.build(art, family.resolution)
        things, named = (
            some(each, asked.things, asked.few) for each in (tasks.things, tasks.known_things)
        )
        scorer = Scorer(SimilarityModel(BUNDLED), art, family.resolution)
        run = BenchmarkRun(family, scorer, config, console)
        start = run.score_baseline("starting words", things)
        known = run.score_baseline("known words", named)
        points = [
            measure(run, asked.out, name, together(asked.shared, COMPARED[name]), things)
            for name in asked.only or COMPARED
        ]
        results = ResultTable("things", start, known, [])
        print(table(points, results))
        folder = DOCS if asked.docs else asked.out
        write_whole(folder / "methods.md", (table(points, results) + "\n").encode())
        write_whole(folder / "methods.png", picture(points, results))


if __name__ == "__main__":
    main()
