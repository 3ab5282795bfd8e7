"""The results of commands as tables on stdout; on a narrow terminal, as lists."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudoword.cli.terminal import Page, say, writable, write
from pseudoword.text import command, counted, duration, listed, vector_sizes

if TYPE_CHECKING:
    from pseudoword.api import (
        Base,
        Environment,
        Evaluation,
        Gallery,
        Inspection,
        Plan,
        Prepared,
        QueuedWord,
    )

UNCUT = 1000
"""How many columns a file or pipe has: a table is as wide there as it needs to be."""

MAX_NORMS = 8
"""A table shows the norms of at most this many rows."""

MOST = 20
"""How many words of a queue a terminal shows, unless it is asked for all."""

MOST_REASONS = 10
"""How many reasons why words failed it shows then."""

COLUMN_WIDTH = 12
"""Where the columns of a table have less room than this each, it is shown as a list."""


def show_inspection(seen: "Inspection") -> None:
    """Print what a concept file holds, as a table."""
    rows = [("file", f"{seen.layout} layout, {seen.container}")]
    if seen.others:
        rows.append(("other words", ", ".join(seen.others)))
    rows.append(("method", seen.method))
    rows.append(("family", seen.family or "not stated"))
    rows.append(("fits", ", ".join(seen.fits) or "no model family known here"))
    medians = seen.vocabulary_norms or {}  # output embeddings have none
    for key, (n, width) in seen.encoders.items():
        norms = ", ".join(f"{norm:.3f}" for norm in seen.norms[key][:MAX_NORMS])
        if n > MAX_NORMS:
            norms += f" and {n - MAX_NORMS} more"
        beside = f"  (the vocabulary's median: {medians[key]:.3f})" if key in medians else ""
        rows.append((key, f"{n} × {width}"))
        rows.append(("  norms", norms + beside))
        for i, near in enumerate((seen.nearest or {}).get(key, [])):
            words = ", ".join(f"{other.token} {other.cosine:.2f}" for other in near)
            rows.append((f"  row {i} is near", words))
    rows += seen.provenance.items()
    rows += [(f"in {tool}", happens) for tool, happens in seen.tools.items()]
    _show((), rows, f"{seen.token}  ({seen.file})")


def show_evaluation(found: "Evaluation") -> None:
    """Print the similarities, the new word beside a known one."""
    near = found.similarities
    values = {
        "similarity to the true pictures": (near.image, near.image_known, near.image_true),
        "similarity to the prompt": (near.text, near.text_known, None),
    }
    rows = [
        (name, *("–" if value is None else f"{value:.3f}" for value in three))
        for name, three in values.items()
    ]
    _show(("", found.concept.token, "a known word", "true pictures"), rows)
    for path in found.files:
        say(path)


def show_gallery(found: "Gallery") -> None:
    """Print the words of a folder, as a table, and what could not be read."""
    rows = []
    for word in found.words:
        counts = vector_sizes(word.vectors)
        family = ", ".join(word.families) or "unknown"
        inside = Path(word.file).relative_to(found.folder)
        rows.append((word.token, family, counts, word.format, inside))
    if rows:
        _show(("token", "family", "vectors", "format", "file"), rows, found.folder)
    else:
        say(f"no embedding in {found.folder}")
    for file, reason in found.skipped.items():
        say(f"skipped {file}: {reason}")
    for file, reason in found.left_out.items():
        say(f"left out {file}: {reason}")
    if found.sheet:
        some = "" if found.shown == len(found.words) else f" (the first {found.shown} words)"
        say(f"contact sheet: {found.sheet}{some}")


def show_prepared(seen: "Prepared") -> None:
    """Print what will be seen of each picture, as a table, and what is suggested."""
    rows = []
    for one in seen.pictures:
        sizes = ("{} × {}".format(*one.size), "{} × {}".format(*one.frame))
        views = f"{one.views}, masked" if one.masked else str(one.views)
        rows.append((Path(one.file).name, *sizes, views, one.prompt, "; ".join(one.problems)))
    _show(("picture", "size", "seen as", "views", "example", "look at this"), rows)
    if seen.shared_problem:
        say(seen.shared_problem)
    say(f"contact sheet: {seen.sheet}")
    say(f"to begin with: --vectors {seen.vectors} --steps {seen.steps}")


def show_bases(found: "list[Base]") -> None:
    """Print the known base models, as a table."""
    rows = [(base.name, base.family, base.licence, base.path) for base in found]
    _show(("name", "family", "licence", "path"), rows)


def show_environment(found: "Environment") -> None:
    """Print what there is on this machine, as lines to paste into a report."""
    say(", ".join(f"{name} {version}" for name, version in found.versions.items()))
    say(found.system)
    for device in found.devices:
        memory = device.memory_nbytes
        room = f"{memory / 2**30:.1f} GiB" if memory else ""
        threads = counted(found.threads, "thread") if device.name == "cpu" else ""
        told = ", ".join(filter(None, [device.model, room, threads, device.dtype, device.problem]))
        say(f"{device.name}: {told}{' (auto)' if device.name == found.device else ''}")
    for note in found.notes:
        say(f"note: {note}")
    for there, what in ((True, "extras"), (False, "extras that are not installed")):
        if names := [name for name, installed in found.extras.items() if installed is there]:
            say(f"{what}: {', '.join(names)}")
    say(f"cache: {found.cache}")
    for name, value in found.variables.items():
        say(f"{name}={value}")


def show_queue(found: "list[QueuedWord]", queue: str, *, every: bool) -> None:
    """Print the words of a queue as a table, what went wrong, and how far the queue is.

    On a terminal, only those of many are in the table that run, the longest first, unless `every`
    one is asked for; and what went wrong is told once for all words that it went wrong with.
    """
    now = datetime.now(UTC)
    with_why = every or not sys.stdout.isatty()
    last = "worker, or what went wrong" if with_why else "worker"
    heads: tuple[str, ...] = ("word", "state", "for", "step", "tries", last)
    shown = found
    if brief := not with_why and len(found) > MOST:
        runs = [word for word in found if word.state == "running"]
        shown = sorted(runs, key=lambda word: (not word.stale, word.since or now))[:MOST]
        heads = ("running word", "for", "step", last)
    rows = []
    for word in shown:
        time = duration((now - word.since).total_seconds()) if word.since else ""
        why = word.why if with_why or word.stale else ""
        step, worker = word.step or "", ": ".join(filter(None, (word.worker, why)))
        between = (time, step) if brief else (word.state, time, step, word.tries)
        rows.append((word.name, *between, worker))
    if rows:
        _show(heads, rows)
    if len(shown) < len(found):
        say(f"{counted(len(found) - len(shown), 'word')} not shown here: --all shows each")
    _tell_reasons(found, len(found) if with_why else MOST_REASONS)
    _tell_queue(found, queue, now)


def _tell_reasons(found: "list[QueuedWord]", most: int) -> None:
    from pseudoword import internals

    reasons = internals.reasons(found)
    for state, why, names in reasons[:most]:
        end = "failed" if state == "failed" else "will be tried again"
        say(f"{counted(len(names), 'word')} {end}: {why}")
        say(f"  {listed(names)}")
    if others := sum(len(one.names) for one in reasons[most:]):
        say(f"{counted(others, 'word')} for other reasons: --all shows each")


def _tell_queue(found: "list[QueuedWord]", queue: str, now: datetime) -> None:
    from pseudoword import internals

    counts = Counter(word.state for word in found)
    if counts["failed"]:
        say(f"to try again what failed: {command('pseudoword', 'queue', queue, '--retry', 'all')}")
    if recent := len(internals.done_since(found, now - internals.HOUR)):
        pace = internals.words_an_hour(found, now)
        told = "" if pace is None else f", about {pace:.0f} an hour"
        if pace and (waiting := counts["waiting"]):
            told += f": about {duration(waiting / pace * 3600)} to go"
        say(f"{recent} done in the last hour{told}")
    workers = {word.worker for word in found if word.state == "running" and not word.stale}
    left = sum(word.stale for word in found)
    parts = (
        (counts["waiting"], "waiting"),
        (counts["running"] - left, f"running on {counted(len(workers), 'worker')}"),
        (left, "of workers that are gone"),
        *((counts[state], state) for state in ("done", "failed", "cancelled")),
    )
    states = ", ".join(f"{count} {state}" for count, state in parts if count)
    say(f"{counted(len(found), 'word')}: {states}" if found else "no words")


def show_plan(found: "Plan") -> None:
    """Print what fits in how much memory, as a table."""
    parts = ", ".join(f"{name} {_gib(nbytes)}" for name, nbytes in found.parts.items())
    rows = []
    for offload, needs in ((False, found.train), (True, found.train_offloaded)):
        for need in needs:
            ways = [f"--quantize {need.quantize}"] if need.quantize != "none" else []
            if offload:
                ways.append("--offload")
            elif need.gradient_checkpointing:
                ways.append("--gradient-checkpointing")
            picture = found.picture(need.quantize, offload=offload)
            peaks = picture.encode_nbytes, need.nbytes, picture.draw_nbytes
            rows.append((" ".join(ways) or "no setting", *map(_gib, peaks)))
    title = f"{found.base} on {found.device}: {found.recognised_by}; {found.dtype}, GiB: {parts}"
    most = f"GiB at most, {found.resolution} px, batch {found.batch}"
    _show((most, "encoding", "training", "drawing"), rows, title)


def _show(heads: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table, no text of which means anything to the terminal; too narrow, as a list.

    Without `heads`, each row is a name and what it is.
    """
    import rich.console
    from rich.table import Table
    from rich.text import Text

    unlimited = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    page: Any = Page(sys.stdout)
    out = rich.console.Console(file=page, highlight=False, width=UNCUT if unlimited else None)
    title = writable(title)
    table = Table(title=Text(title) if title else None, show_header=bool(heads))
    cells = [[writable(cell) for cell in row] for row in rows]
    names = [writable(head) for head in heads]
    if out.width < COLUMN_WIDTH * len(names):
        lines = [title] if title else []
        for row in cells:
            lines += [f"{name}: {cell}" for name, cell in zip(names, row, strict=True) if cell]
            lines.append("")
        say("\n".join(lines), lines=True)
        return
    for name in names or ("", ""):
        table.add_column(Text(name), overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    out.print(table)
    write(page.text)


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f}"
