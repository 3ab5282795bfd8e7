"""What commands show: a live bar on a terminal, plain lines in a log. All of it on stderr."""

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import rich.console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

if TYPE_CHECKING:
    from pseudoword.collection import Gallery
    from pseudoword.evaluation import Evaluation
    from pseudoword.inspection import Base, Inspection
    from pseudoword.planning import Plan
    from pseudoword.preparation import Prepared

LOG_EVERY_SECONDS = 10.0


class Console:
    """A `Progress` on a terminal or in a log."""

    def __init__(self) -> None:
        self._out = rich.console.Console(stderr=True, highlight=False)
        self._live = self._out.is_terminal
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self._out,
            disable=not self._live,
        )
        self._text = ""
        self._began = self._logged = time.monotonic()
        self._first = 0

    def __enter__(self) -> "Console":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def phase(self, text: str) -> None:
        """A new bar, or a line in the log."""
        self._text, self._first = text, -1
        self._began = self._logged = time.monotonic()
        if not self._live:
            self._out.print(text, markup=False)
            return
        for task in self._bar.tasks:
            if task.total is None:  # it never said how much there was: it is done now
                self._bar.update(task.id, total=1, completed=1)
            self._bar.stop_task(task.id)
        self._bar.add_task(escape(text), total=None, detail="", speed="")

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Move the bar; in a log, a line every ten seconds and at the end."""
        now = time.monotonic()
        if self._first < 0:
            self._first, self._began = done, now
        rate = (done - self._first) / max(now - self._began, 1e-9)
        speed = f"{rate:.1f}/s" if done > self._first else ""
        if self._live:
            task = self._bar.task_ids[-1]
            self._bar.update(task, completed=done, total=total, detail=detail, speed=speed)
        elif done == total or now - self._logged > LOG_EVERY_SECONDS:
            self._logged = now
            left = f", {(total - done) / rate:.0f} s left" if speed and done < total else ""
            shown = ", ".join(part for part in (detail, speed) if part)
            self._out.print(f"{self._text}: {done}/{total} ({shown}{left})", markup=False)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._out.print(text, markup=False)


def show_inspection(seen: "Inspection") -> None:
    """Print what a concept file holds, as a table."""
    table = Table(title=escape(f"{seen.token}  ({seen.file})"), show_header=False)
    table.add_row("file", f"{seen.layout} layout, {seen.container}")
    if seen.others:
        table.add_row("other words", escape(", ".join(seen.others)))
    table.add_row("method", seen.method)
    table.add_row("family", seen.family or "not stated")
    table.add_row("fits", ", ".join(seen.fits) or "no model family known here")
    for key, (n, width) in seen.encoders.items():
        norms = ", ".join(f"{norm:.3f}" for norm in seen.norms[key][:8])
        beside = ""
        if seen.vocabulary_norms:
            beside = f"  (the vocabulary's median: {seen.vocabulary_norms[key]:.3f})"
        table.add_row(key, f"{n} × {width}")
        table.add_row("  norms", norms + beside)
        for i, near in enumerate((seen.nearest or {}).get(key, [])):
            words = ", ".join(f"{other.token} {other.cosine:.2f}" for other in near)
            table.add_row(f"  row {i} is near", escape(words))
    for name, value in seen.provenance.items():
        table.add_row(name, escape(value))
    for tool, happens in seen.tools.items():
        table.add_row(f"in {tool}", escape(happens))
    rich.console.Console().print(table)


def show_evaluation(found: "Evaluation") -> None:
    """Print the similarities, the new word beside a known one."""
    table = Table("", escape(found.concept.token), "a known word", "true pictures")
    near = found.similarities
    for name, values in (
        (
            "nearness to the true pictures",
            (near.image, near.image_known, near.image_true),
        ),
        ("nearness to the prompt", (near.text, near.text_known, None)),
    ):
        table.add_row(name, *("–" if value is None else f"{value:.3f}" for value in values))
    out = rich.console.Console()
    out.print(table)
    for path in found.files:
        out.print(str(path), markup=False, soft_wrap=True)


def show_gallery(found: "Gallery") -> None:
    """Print the words of a folder, as a table, and what could not be read."""
    table = Table("token", "family", "vectors", "format", "file", title=escape(found.folder))
    for word in found.words:
        counts = ", ".join(f"{key} {n} × {width}" for key, (n, width) in word.vectors.items())
        family = ", ".join(word.families) or "unknown"
        inside = Path(word.file).relative_to(found.folder)
        table.add_row(escape(word.token), family, counts, word.format, escape(str(inside)))
    out = rich.console.Console()
    out.print(table)
    for file, reason in found.skipped.items():
        out.print(f"skipped {file}: {reason}", markup=False, soft_wrap=True)
    for file, reason in found.left_out.items():
        out.print(f"left out {file}: {reason}", markup=False, soft_wrap=True)
    if found.sheet:
        some = "" if found.shown == len(found.words) else f" (the first {found.shown} words)"
        out.print(f"contact sheet: {found.sheet}{some}", markup=False, soft_wrap=True)


def show_prepared(seen: "Prepared") -> None:
    """Print what will be seen of each picture, as a table, and what is suggested."""
    table = Table("picture", "size", "seen as", "views", "example", "look at this")
    for one in seen.pictures:
        sizes = ("{} × {}".format(*one.size), "{} × {}".format(*one.frame))
        views = f"{one.views}, masked" if one.masked else str(one.views)
        faults = "; ".join(one.faults)
        name = escape(Path(one.file).name)
        table.add_row(name, *sizes, views, escape(one.prompt), escape(faults))
    out = rich.console.Console()
    out.print(table)
    if seen.shared_fault:
        out.print(seen.shared_fault, markup=False)
    out.print(f"contact sheet: {seen.sheet}", markup=False, soft_wrap=True)
    out.print(f"to begin with: --vectors {seen.vectors} --steps {seen.steps}", markup=False)


def show_bases(found: "list[Base]") -> None:
    """Print the known base models, as a table."""
    table = Table("name", "family", "licence", "path")
    for base in found:
        table.add_row(base.name, base.family, escape(base.licence), escape(base.path))
    rich.console.Console().print(table)


def show_plan(found: "Plan") -> None:
    """Print what fits in how much memory, as a table."""
    parts = ", ".join(f"{name} {_gib(nbytes)}" for name, nbytes in found.parts.items())
    title = f"{found.base}: {found.seen}\n{found.dtype}, GiB: {parts}"
    table = Table("what", "GiB at most", title=escape(title))
    table.add_row(f"encoding a picture of {found.resolution} px", _gib(found.encode_nbytes))
    for need in found.train:
        quantize = f" --quantize {need.quantize}" if need.quantize != "none" else ""
        spared = quantize + (" --gradient-checkpointing" if need.gradient_checkpointing else "")
        table.add_row(f"training, batch {found.batch}{spared}", _gib(need.nbytes))
    table.add_row("drawing a picture", _gib(found.draw_nbytes))
    rich.console.Console().print(table)


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f}"
