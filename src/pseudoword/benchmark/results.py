"""The benchmark's tables and its Pareto plot."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pseudoword.benchmark.scoring import Scores
from pseudoword.report.charts import empty_figure, png_of
from pseudoword.text import markdown

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean, with the 95 % interval and the standard error of its bootstrap over words.

    They are NaN for a share of nothing, as where no known word follows its prompts; all but the
    mean, where it is so in some of the resamples.
    """

    mean: float
    low: float
    high: float
    error: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.error:.3f}"

    @property
    def percent(self) -> str:
        """As `87% ± 3`, or `87%` without an error; `-` where there is none."""
        error = "" if math.isnan(self.error) else f" ± {100 * self.error:.0f}"
        return f"{self.mean:z.0%}{error}" if math.isfinite(self.mean) else "-"

    @property
    def points(self) -> str:
        """A difference of percentages, as `+4 ± 2`."""
        return f"{100 * self.mean:+z.0f} ± {100 * self.error:.0f}"


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    name: str
    scores: Scores
    seconds: float | None = None
    """of training per word"""


@dataclass(frozen=True)
class ResultTable:
    """Learned words beside two baselines: their starting words, and known words."""

    title: str
    start: Scores
    known: Scores
    rows: Sequence[Row]
    reference: Row | None = None
    """true pictures of something else, to compare with"""

    def gap_closed(self, scores: Scores) -> Interval:
        """Share of the gap in identity, from the starting words' to the known words'."""

        def closed(learned: Any, start: Any, known: Any) -> Any:
            return (learned.mean(-1) - start.mean(-1)) / (known.mean(-1) - start.mean(-1))

        start = {name: self.start[name] for name in scores}
        return _bootstrap(closed, _column(scores, "identity"), _column(start, "identity"),
                          unpaired=_column(self.known, "identity"))  # fmt: skip

    def relative_following(self, scores: Scores) -> Interval:
        """Following as a share of the known words'.

        A starting word follows a prompt as well as a known word does, so there is no gap to close.
        """

        def share(learned: Any, known: Any) -> Any:
            return learned.mean(-1) / known.mean(-1)

        known = _column(self.known, "following")
        return _bootstrap(share, _column(scores, "following"), unpaired=known)

    def as_markdown(self) -> str:
        """The table as Markdown, and a second one of the differences from the first row."""
        kinds = list(next(iter(self.known.values())).kinds)
        heads = [self.title, "identity", "way to known words", "recognised", "following"]
        heads += ["share of known words'", *kinds, "s per word"]
        baselines = [Row("*starting words*", self.start), Row("*known words*", self.known)]
        references = [self.reference] if self.reference else []
        named = [Row(markdown(row.name), row.scores, row.seconds) for row in self.rows]
        lines = []
        for row in [*baselines, *references, *named]:
            is_baseline = row in baselines
            lines.append([
                row.name,
                str(mean(row.scores, "identity")),
                "" if is_baseline else self.gap_closed(row.scores).percent,
                mean(row.scores, "recognised").percent,
                mean(row.scores, "following").percent,
                "" if is_baseline else self.relative_following(row.scores).percent,
                *(_following(row.scores, kind) for kind in kinds),
                "" if row.seconds is None else f"{row.seconds:.0f}",
            ])  # fmt: skip
        table = markdown_table([heads, *lines])
        if len(named) < 2:
            return table
        return f"{table}\n\n{self._differences(named[0], named[1:], kinds)}"

    def _differences(self, first: Row, others: Sequence[Row], kinds: Sequence[str]) -> str:
        """How other rows differ from the first one, word by word."""
        heads = [
            f"{self.title}: beside {first.name}",
            "identity",
            "recognised",
            "following",
            *kinds,
        ]
        lines = []
        for row in others:
            apart = [difference(row.scores, first.scores, name) for name in heads[1:]]
            lines.append([row.name, *(one.points for one in apart)])
        return markdown_table([heads, *lines])


def markdown_table(rows: Sequence[Sequence[object]], rule: str = " --- ") -> str:
    """A table, whose first row has the heads; `rule` stands below each."""
    heads, *others = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([heads, f"|{f'{rule}|' * len(rows[0])}", *others])


def mean(scores: Scores, metric: str) -> Interval:
    """Of `identity`, `following`, `recognised` or a kind of prompt, over words."""
    return _bootstrap(lambda values: values.mean(-1), _column(scores, metric))


def difference(scores: Scores, others: Scores, metric: str) -> Interval:
    """The mean of what a word has more in `scores` than in `others`."""
    return _bootstrap(
        lambda one, other: (one - other).mean(-1), _column(scores, metric), _column(others, metric)
    )


def _following(scores: Scores, kind: str) -> str:
    """Of one kind of prompt; true pictures are of single things only, so they lack some kinds."""
    there = all(kind in score.kinds for score in scores.values())
    return mean(scores, kind).percent if there else ""


def _column(scores: Scores, metric: str) -> np.ndarray:
    return np.array([
        score.kinds[metric] if metric in score.kinds else getattr(score, metric)
        for score in scores.values()
    ])  # fmt: skip


def _bootstrap(
    statistic: Callable[..., Any], *paired: np.ndarray, unpaired: np.ndarray | None = None
) -> Interval:
    """Resample the `paired` columns together, and `unpaired` by itself."""
    rng = np.random.default_rng(0)
    rows = _resamples(rng, len(paired[0]))
    resampled = [column[rows] for column in paired]
    values = list(paired)
    if unpaired is not None:
        resampled.append(unpaired[_resamples(rng, len(unpaired))])
        values.append(unpaired)
    with np.errstate(divide="ignore", invalid="ignore"):
        found, whole = statistic(*resampled), float(statistic(*values))
    if not np.isfinite(found).all():
        return Interval(whole, math.nan, math.nan, math.nan)
    low, high = map(float, np.percentile(found, [2.5, 97.5]))
    # of equal values the means may differ in their last digit
    return Interval(whole, min(low, whole), max(high, whole), float(found.std()))


def _resamples(rng: np.random.Generator, words: int) -> np.ndarray:
    """Which words each resample has, `[RESAMPLES, words - 1]`.

    With one fewer than there are, a mean varies as its standard error says. With as many, the
    error of a mean of n words would be too small by a factor of sqrt((n - 1) / n).
    """
    return rng.integers(words, size=(RESAMPLES, max(words - 1, 1)))


def pareto_plot(tables: Sequence[ResultTable]) -> bytes:
    """Identity against following with 95 % intervals, as PNG: further up and right is better."""
    figure = empty_figure(6.5 * len(tables), 5)
    for axis, table in zip(figure.subplots(1, len(tables), squeeze=False)[0], tables, strict=True):
        points = [("starting words", table.start, "#999999", "v")]
        points += [("known words", table.known, "#999999", "^")]
        points += [(row.name, row.scores, f"C{i}", "o") for i, row in enumerate(table.rows)]
        for name, scores, color, marker in points:
            x, y = mean(scores, "following"), mean(scores, "identity")
            axis.errorbar(
                x.mean, y.mean,
                xerr=[[x.mean - x.low], [x.high - x.mean]],
                yerr=[[y.mean - y.low], [y.high - y.mean]],
                fmt=marker, color=color, capsize=3, label=name,
            )  # fmt: skip
        axis.set(xlabel="following", ylabel="identity", title=table.title)
        for label in axis.legend(fontsize=8).get_texts():
            label.set_parse_math(False)
        axis.grid(alpha=0.3)
    return png_of(figure)
