"""Charts of a run: loss curves, and the learning-rate finder's curve."""

import math
from collections.abc import Mapping, Sequence

from pseudoword.report.plots import Axis, Line, Panel, chart
from pseudoword.text import visible


def curves(entries: Sequence[Mapping[str, float]], title: str) -> bytes:
    """Curves of a training log, as PNG: losses above; norm and learning rate below.

    The thick grey line is a running mean of the training loss.

    Args:
        entries: lines of the log (`runs.folder.RunFolder.read_log`).
        title: of the chart.
    """
    losses = _column(entries, "loss")
    width = max(1, len(losses) // 10)
    smooth = running_mean([loss for _, loss in losses], width)
    steps = [step for step, _ in losses]
    lines = [
        Line(losses, "#dddddd", width_px=0.9),
        Line(list(zip(steps, smooth, strict=True)), "#888888", "training loss"),
    ]
    for name, label, colour in (
        ("evaluation", "evaluation loss", "#c03030"),
        ("held_out", "loss on held-out pictures", "#e09020"),
    ):
        if points := _column(entries, name):
            lines.append(Line(points, colour, label, dots=True))
    norm = Line(_column(entries, "norm"), "#3060c0")
    rate = Line(_column(entries, "lr"), "#309050", dashed=True)
    # From zero: of a norm that is held, nothing but its rounding would else be seen. Two constants
    # would lie on one line if both had the same room above them.
    below = Panel(
        165,
        Axis("norm of the rows", [norm], norm.colour, from_zero=0.1),
        Axis("learning rate", [rate], rate.colour, from_zero=0.4),
    )
    return chart([Panel(340, Axis("loss", lines)), below], visible(title), "step")


def rate_curve(tried: Sequence[Sequence[float]], chosen: float, token: str) -> bytes:
    """The learning-rate finder's curve, as PNG: evaluation loss over learning rate.

    Args:
        tried: pairs of learning rate and evaluation loss.
        chosen: the learning rate that was chosen.
        token: the word.
    """
    points = [(math.log10(rate), loss) for rate, loss in tried if rate > 0]
    loss = Axis("evaluation loss", [Line(points, "#c03030", dots=True)])
    mark = (math.log10(chosen), "#309050", f"chosen: {chosen:g}")
    title = visible(f"learning rates tried for {token}")
    return chart([Panel(340, loss, verticals=[mark])], title, "learning rate", powers=True)


def _column(entries: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    """Steps and values of the entries that have `name`."""
    return [(entry["step"], entry[name]) for entry in entries if name in entry]


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Mean of each value and up to `width - 1` before it."""
    means, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - width] if i >= width else 0.0)
        means.append(total / min(i + 1, width))
    return means
