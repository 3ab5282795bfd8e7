"""The bench's table, Pareto plot and grids."""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pseudoword.benchmark.runner import Sat
from pseudoword.text import markdown

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean and the 95 % interval of its bootstrap over concepts."""

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
class Entry:
    """One row of the table."""

    name: str
    sat: Sat
    seconds: float | None = None
    """of training per word"""


@dataclass(frozen=True)
class Board:
    """Entries beside their anchors: what the starting words and the known words reach."""

    title: str
    start: Sat
    known: Sat
    entries: Sequence[Entry]
    reference: Entry | None = None
    """true pictures of something else, to compare with"""

    def way(self, sat: Sat) -> Interval:
        """How far identity has come from the starting words' towards the known words'."""

        def along(learned: Any, start: Any, known: Any) -> Any:
            return (learned.mean(-1) - start.mean(-1)) / (known.mean(-1) - start.mean(-1))

        start = {name: self.start[name] for name in sat}
        return _bootstrap(along, _column(sat, "identity"), _column(start, "identity"),
                          free=_column(self.known, "identity"))  # fmt: skip

    def share(self, sat: Sat) -> Interval:
        """Following as a share of the known words'. A starting word follows as well as any known
        one, so between those two there is no way to go."""

        def part(learned: Any, known: Any) -> Any:
            return learned.mean(-1) / known.mean(-1)

        return _bootstrap(part, _column(sat, "following"), free=_column(self.known, "following"))

    def table(self) -> str:
        """Markdown."""
        kinds = list(next(iter(self.known.values())).kinds)
        heads = [self.title, "identity", "way to known words", "recognised", "following"]
        heads += ["share of known words'", *(kinds if len(kinds) > 1 else []), "s per word"]
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        anchors = [Entry("*starting words*", self.start), Entry("*known words*", self.known)]
        references = [self.reference] if self.reference else []
        for entry in [*anchors, *references, *self.entries]:
            real = entry not in anchors
            cells = [
                markdown(entry.name) if entry in self.entries else entry.name,
                str(mean(entry.sat, "identity")),
                self.way(entry.sat).percent if real else "",
                mean(entry.sat, "recognised").percent,
                mean(entry.sat, "following").percent,
                self.share(entry.sat).percent if real else "",
            ]
            if len(kinds) > 1:
                marks = entry.sat.values()
                cells += [f"{np.mean([m.kinds[kind] for m in marks]):.0%}" for kind in kinds]
            cells.append("" if entry.seconds is None else f"{entry.seconds:.0f}")
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)


def mean(sat: Sat, what: str) -> Interval:
    """Of `identity`, `following` or `recognised`, over papers."""
    return _bootstrap(lambda values: values.mean(-1), _column(sat, what))


def _column(sat: Sat, what: str) -> np.ndarray:
    return np.array([getattr(marks, what) for marks in sat.values()])


def _bootstrap(
    statistic: Callable[..., Any], *paired: np.ndarray, free: np.ndarray | None = None
) -> Interval:
    """`paired` columns are resampled together, `free` by itself."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(paired[0]), size=(RESAMPLES, len(paired[0])))
    columns = [column[rows] for column in paired]
    values = list(paired)
    if free is not None:
        columns.append(free[rng.integers(len(free), size=(RESAMPLES, len(free)))])
        values.append(free)
    low, high = np.percentile(statistic(*columns), [2.5, 97.5])
    return Interval(float(statistic(*values)), float(low), float(high))


def pareto(boards: Sequence[Board]) -> bytes:
    """Identity against following with 95 % intervals, as PNG: further up and right is better."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * len(boards), 5), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, board in zip(figure.subplots(1, len(boards), squeeze=False)[0], boards, strict=True):
        anchors = [Entry("starting words", board.start), Entry("known words", board.known)]
        for number, entry in enumerate([*anchors, *board.entries]):
            x, y = mean(entry.sat, "following"), mean(entry.sat, "identity")
            axis.errorbar(
                x.mean, y.mean,
                xerr=[[x.mean - x.low], [x.high - x.mean]],
                yerr=[[y.mean - y.low], [y.high - y.mean]],
                fmt="v^"[number] if number < len(anchors) else "o",
                color="#999999" if number < len(anchors) else f"C{number - len(anchors)}",
                capsize=3, label=entry.name,
            )  # fmt: skip
        axis.set(xlabel="following", ylabel="identity", title=board.title)
        for label in axis.legend(fontsize=8).get_texts():
            label.set_parse_math(False)
        axis.grid(alpha=0.3)
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # letters that its font has not
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
