"""What helps in a notebook: a live curve, labelled pictures, small tables, and example files.

It needs IPython, which every notebook has.
"""

import contextlib
import html
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from IPython import get_ipython
from IPython.display import Image as Picture
from IPython.display import Markdown, display
from PIL.Image import Image

from pseudoword import internals
from pseudoword.errors import SettingsError
from pseudoword.example_files import EXAMPLE_PICTURES, EXAMPLE_WORDS
from pseudoword.text import markdown, visible

__all__ = [
    "EXAMPLE_PICTURES",
    "EXAMPLE_WORDS",
    "LiveProgress",
    "grid",
    "table",
]

SHOW_EVERY_S = 0.2

REDRAW_EVERY_S = 3.0
"""Drawing the curves takes a few tenths of a second."""

CURVES_PX = 620


class LiveProgress:
    """A `Progress` for a cell: a bar, what the user should know, and the curves of a run.

    Outside a notebook, it prints what begins and what the user should know.

    Args:
        run: the folder of the run that is trained; without it, there are no curves.
    """

    def __init__(self, run: str | Path | None = None) -> None:
        self._run = Path(run) if run is not None else None
        self._status, self._curves = _output(), _output()
        self._phase, self._detail, self._done, self._total = "", "", 0, 0
        self._notes: list[str] = []
        self._began = self._shown = self._drawn = time.monotonic()

    def phase(self, text: str) -> None:
        """Something begins."""
        self._draw_curves()  # what ended may have been the training
        self._phase, self._detail, self._done, self._total = text, "", 0, 0
        self._began = time.monotonic()
        self._show()
        self._print(text)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """The bar moves a few times a second, the curves every few seconds."""
        self._done, self._total, self._detail = done, total, detail
        now, last = time.monotonic(), done == total
        if last or now - self._shown > SHOW_EVERY_S:
            self._show()
        if last or now - self._drawn > REDRAW_EVERY_S:
            self._draw_curves()

    def note(self, text: str) -> None:
        """Stays below the bar."""
        self._notes.append(text)
        self._draw_curves()
        self._show()
        self._print(text)

    def _print(self, text: str) -> None:
        """A line, where a notebook runs as a script."""
        if self._status is None:
            encoding = sys.stdout.encoding or "utf-8"  # that of a file on Windows has few letters
            print(visible(text).encode(encoding, "backslashreplace").decode(encoding), flush=True)

    def _show(self) -> None:
        if self._status is None:
            return
        self._shown = time.monotonic()
        told = [self._phase]
        if self._total:
            seconds = self._shown - self._began
            told += [f"{self._done} of {self._total} after {seconds:.0f} s", self._detail]
        line, *notes = map(visible, [", ".join(filter(None, told)), *self._notes])
        bar = f'<progress value="{self._done}" max="{self._total or 1}"></progress> '
        items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        page = f"{bar}{html.escape(line)}<ul>{items}</ul>"
        self._status.update({"text/html": page, "text/plain": "\n".join([line, *notes])}, raw=True)

    def _draw_curves(self) -> None:
        if self._run is None or self._curves is None:
            return
        self._drawn = time.monotonic()
        # There is no log yet, or a line of it is damaged: no reason to end a training.
        with contextlib.suppress(Exception):
            log = (self._run / "log.jsonl").read_text(encoding="utf-8")
            entries = [json.loads(line) for line in log.splitlines()]
            if any("loss" in entry for entry in entries):
                curves = internals.curves(entries, self._run.name)
                self._curves.update(Picture(curves, width=CURVES_PX))


def _output() -> Any:
    """An output of the cell, which can be updated; None outside IPython."""
    if get_ipython() is None:
        return None
    return display({"text/plain": ""}, raw=True, display_id=True)


def grid(
    rows: Mapping[str, Sequence[Image]], heads: Sequence[str] = (), side_px: int = 128
) -> Image:
    """Pictures side by side: a row for each label, and a heading above each column.

    Args:
        rows: label -> pictures.
        heads: of the columns.
        side_px: side of the square that each picture is fitted into.

    Raises:
        SettingsError: there are no rows.
    """
    if not rows:
        raise SettingsError("grid: there are no rows. Give pictures with a label.")
    return internals.grid(list(rows.items()), heads=heads, cell_px=side_px)


def table(rows: Sequence[Mapping[str, object]]) -> Markdown:
    """A table with a line for each of `rows`, and a column for each key of any of them."""
    if not rows:
        return Markdown("*no rows*")
    heads = [*dict.fromkeys(head for row in rows for head in row)]
    lines = [heads, ["---"] * len(heads)]
    lines += [[markdown(row.get(head, "")) for head in heads] for row in rows]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
