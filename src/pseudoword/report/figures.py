"""Figures of matplotlib, as PNG, for charts that are drawn after long work."""

import io
import warnings
from typing import Any


def empty_figure(width: float, height: float) -> Any:
    """A figure of matplotlib to draw into, in inches; without pyplot, so nothing is global."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Any) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # of letters that the font does not have
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
