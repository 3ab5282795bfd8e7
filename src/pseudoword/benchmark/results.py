"""The benchmark's tables and its Pareto plot."""

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
    """A mean, and the 95 % interval of its bootstrap over words."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f}–{self.high:.2f})"

    @property
    def percent(self) -> str:
        """As `87 % (80–93)`."""
        return f"{self.mean:.0%} ({100 * self.low:.0f}–{100 * self.high:.0f})"


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
        """The table as Markdown."""
        kinds = list(next(iter(self.known.values())).kinds)
        heads = [self.title, "identity", "way to known words", "recognised", "following"]
        heads += ["share of known words'", *(kinds if len(kinds) > 1 else []), "s per word"]
        baselines = [Row("*starting words*", self.start), Row("*known words*", self.known)]
        references = [self.reference] if self.reference else []
        named = [Row(markdown(row.name), row.scores, row.seconds) for row in self.rows]
        lines = [heads, ["---"] * len(heads)]
        for row in [*baselines, *references, *named]:
            is_baseline = row in baselines
            cells = [
                row.name,
                str(mean(row.scores, "identity")),
                "" if is_baseline else self.gap_closed(row.scores).percent,
                mean(row.scores, "recognised").percent,
                mean(row.scores, "following").percent,
                "" if is_baseline else self.relative_following(row.scores).percent,
            ]
            if len(kinds) > 1:
                scores = row.scores.values()
                cells += [f"{np.mean([s.kinds[kind] for s in scores]):.0%}" for kind in kinds]
            cells.append("" if row.seconds is None else f"{row.seconds:.0f}")
            lines.append(cells)
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def mean(scores: Scores, metric: str) -> Interval:
    """Of `identity`, `following` or `recognised`, over words."""
    return _bootstrap(lambda values: values.mean(-1), _column(scores, metric))


def _column(scores: Scores, metric: str) -> np.ndarray:
    return np.array([getattr(score, metric) for score in scores.values()])


def _bootstrap(
    statistic: Callable[..., Any], *paired: np.ndarray, unpaired: np.ndarray | None = None
) -> Interval:
    """Resample the `paired` columns together, and `unpaired` by itself."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(paired[0]), size=(RESAMPLES, len(paired[0])))
    resampled = [column[rows] for column in paired]
    values = list(paired)
    if unpaired is not None:
        resampled.append(unpaired[rng.integers(len(unpaired), size=(RESAMPLES, len(unpaired)))])
        values.append(unpaired)
    low, high = np.percentile(statistic(*resampled), [2.5, 97.5])
    return Interval(float(statistic(*values)), float(low), float(high))


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
