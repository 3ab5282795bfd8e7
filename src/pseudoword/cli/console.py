"""How long work goes on: a live bar on a terminal, plain lines in a log. All of it on stderr."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Any

from pseudoword.cli.terminal import Unbreakable
from pseudoword.text import duration, visible, without_middle

LOG_EVERY_SECONDS = 10.0

RECENT = 4
"""The speed is that since so many times `LOG_EVERY_SECONDS` ago: the first steps of a phase may be
far slower, and the computer may have slept."""

SHOW_CURSOR = b"\x1b[?25h\n"

BAR_WIDTH = 72
"""On a narrower terminal, a phase has its text, its count and the time that is left, but no bar."""

COLUMNS, NARROW_COLUMNS = 50, 19
"""Of a phase beside its text: `1999/2000`, `0:01:40`, and where there is room a bar and details."""


class Console:
    """A `Progress` on a terminal or in a log."""

    def __init__(self) -> None:
        import rich.console  # here and below, or --help would wait for it
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        stream: Any = Unbreakable(sys.stderr)
        self._out = rich.console.Console(file=stream, highlight=False)
        self._live = self._out.is_terminal and not self._out.is_dumb_terminal
        narrow = self._out.width < BAR_WIDTH
        details = ("{task.fields[detail]}", "{task.fields[speed]}")
        columns = [
            TextColumn("{task.description}", markup=False),
            *([] if narrow else [BarColumn()]),
            MofNCompleteColumn(),
            *([] if narrow else [TextColumn(one, markup=False) for one in details]),
            TimeRemainingColumn(),
        ]
        self._room = self._out.width - (NARROW_COLUMNS if narrow else COLUMNS)
        self._bar = Bar(*columns, console=self._out, disable=not self._live)
        self._at_end = ExitStack()
        self._text = ""
        self._logged = time.monotonic()
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)
        """what was done when the phase began and at times after that, and when these were"""

    def __enter__(self) -> "Console":
        if self._live and threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGTERM, _end_with_cursor)
            self._at_end.callback(signal.signal, signal.SIGTERM, before)
        self._bar.start()
        self.phase("starting")  # importing torch and all that needs it takes seconds
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        self._at_end.close()

    def phase(self, text: str) -> None:
        """A new bar, or a line in the log."""
        self._text, self._logged = visible(text), time.monotonic()
        self._recent.clear()
        if not self._live:
            self.note(text)
            return
        for task in self._bar.tasks:
            if not task.finished:  # it did not say how much there was, or ended early
                done = task.completed or 1
                self._bar.update(task.id, total=done, completed=done)
            self._bar.update(task.id, speed="")
            self._bar.stop_task(task.id)
        shown = without_middle(self._text, max(self._room, 8))
        self._bar.add_task(shown, total=None, detail="", speed="")

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Move the bar; in a log, a line every ten seconds and at the end."""
        now = time.monotonic()
        if not self._recent:
            self._recent.append((done, now))
        first, began = self._recent[0]
        # the clock of Windows stands still for up to 16 ms
        rate = (done - first) / (now - began) if now > began else 0.0
        speed = _speed(rate) if rate > 0 else ""
        due = done == total or now - self._logged > LOG_EVERY_SECONDS
        if due:
            self._logged = now
            self._recent.append((done, now))
        if self._live:
            task = self._bar.task_ids[-1]
            shown = visible(detail)
            self._bar.update(task, completed=done, total=total, detail=shown, speed=speed)
        elif due:
            left = f"at most {duration((total - done) / rate)} left" if speed else ""
            shown = ", ".join(filter(None, (detail, speed, left if done < total else "")))
            self.note(f"{self._text}: {done}/{total}" + (f" ({shown})" if shown else ""))

    def note(self, text: str) -> None:
        """A line above the bar."""
        from rich.text import Text

        self._out.print(Text(without_middle(visible(text))), soft_wrap=True)


def _end_with_cursor(signum: int, _frame: FrameType | None) -> None:
    """End as if this signal were not heard, but show the cursor that the bar has hidden."""
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), SHOW_CURSOR)
    signal.signal(signum, signal.SIG_DFL)
    signal.raise_signal(signum)


def _speed(rate: float) -> str:
    """How many in a second, or how many seconds for each, whichever is at least one."""
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
