"""Charts of a run: loss curves, and the learning-rate finder's curve."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pseudoword.process_wide import without_warnings
from pseudoword.report.fonts import any_script
from pseudoword.text import visible


@any_script
def curves(entries: Sequence[Mapping[str, float]], title: str) -> bytes:
    """Curves of a training log, as PNG: losses above; norm and learning rate below.

    The thick grey line is a running mean of the training loss. `entries` are lines of the log
    (`runs.folder.RunFolder.read_log`).
    """
    # Margins that fit all runs: to fit them to each takes as long as drawing.
    figure = empty_figure(8, 5.5, layout=None)
    margins = {"left": 0.1, "right": 0.9, "bottom": 0.09, "top": 0.94, "hspace": 0.08}
    above, below = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (2, 1), **margins}
    )
    steps, losses = _column(entries, "loss")
    above.plot(steps, losses, color="#dddddd", linewidth=0.8)
    smooth = running_mean(losses, max(1, len(losses) // 10))
    above.plot(steps, smooth, color="#888888", label="training loss")
    for name, label, colour in (
        ("evaluation", "evaluation loss", "#c03030"),
        ("held_out", "loss on held-out pictures", "#e09020"),
    ):
        if _column(entries, name)[0]:
            above.plot(*_column(entries, name), color=colour, marker=".", label=label)
    above.set_ylabel("loss")
    above.set_title(visible(title), parse_math=False)
    above.legend(frameon=False)
    below.plot(*_column(entries, "norm"), color="#3060c0")
    below.set_xlabel("step")
    below.set_ylabel("norm of the rows", color="#3060c0")
    rates = below.twinx()
    rates.plot(*_column(entries, "lr"), color="#309050", linestyle="--")
    rates.set_ylabel("learning rate", color="#309050")
    for axes, room in ((below, 0.1), (rates, 0.4)):  # or two constants would lie on one line
        axes.axhline(0, color="none")  # a norm that is held would else show its rounding alone
        axes.margins(y=room)
        axes.set_ylim(bottom=0)
    return png_of(figure)


@any_script
def rate_curve(tried: Sequence[Sequence[float]], chosen: float, token: str) -> bytes:
    """The learning-rate finder's curve, as PNG: evaluation loss over learning rate.

    `tried` are pairs of both.
    """
    figure = empty_figure(8, 4)
    axes = figure.subplots()
    axes.semilogx(*zip(*tried, strict=True), color="#c03030", marker=".")
    axes.axvline(chosen, color="#309050", linestyle="--", label=f"chosen: {chosen:g}")
    axes.set(xlabel="learning rate", ylabel="evaluation loss")
    axes.set_title(visible(f"learning rates tried for {token}"), parse_math=False)
    axes.legend(frameon=False)
    return png_of(figure)


def _column(entries: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of the entries that have `name`."""
    with_name = [entry for entry in entries if name in entry]
    return [entry["step"] for entry in with_name], [entry[name] for entry in with_name]


def empty_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Any:
    """A figure of matplotlib to draw into, in inches; without pyplot, so nothing is global."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Any) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    with without_warnings:  # of letters that the font does not have
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Mean of each value and up to `width - 1` before it."""
    means, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - width] if i >= width else 0.0)
        means.append(total / min(i + 1, width))
    return means
