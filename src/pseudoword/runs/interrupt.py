"""Ctrl-C, SIGTERM and a closed terminal stop a run after its step; the first two twice, at once."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Self

HANGUP = getattr(signal, "SIGHUP", None)
"""What a terminal sends when it is closed, often twice; Windows has no such signal."""

BREAK = getattr(signal, "SIGBREAK", None)
"""Ctrl-Break, or what a program sends that asks another one on Windows to end."""

STOPPING = "stopping after this step; do it again to stop at once"


class _Stopped(KeyboardInterrupt):
    """A run that was stopped; `exit_code` is that of a process which the signal has ended."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum

    def __reduce__(self) -> tuple[object, ...]:
        """For pickle, with which a pool of processes hands errors on."""
        return type(self), (str(self), self.exit_code - 128), self.__dict__


class StoppedAtOnce(_Stopped):
    """A second signal stopped the run in the middle of something: what was saved before is kept."""


class Interrupted(_Stopped):
    """The run was stopped by a signal, or because it was asked to, after its state was saved."""

    requested = False
    """whether no signal came, but each word that was stopped was asked to (`requests`)"""


def stopped(
    saved: Iterable[str], signum: int, *, late: bool = False, requested: bool = False
) -> Interrupted:
    """What is raised when concepts were stopped that are saved at these places.

    Args:
        saved: the places; empty texts for those that had not begun.
        signum: the signal that asked for it.
        late: whether nothing was left to do when it came.
        requested: whether it was no signal, but requests to these concepts.
    """
    if late:
        return Interrupted("stopped after the last step: nothing is left to do.", signum)
    places = ", ".join(place for place in saved if place)
    where = f"Saved {places}. " if places else ""
    how = "stopped, as stop.request in the run's folder asked" if requested else "stopped"
    message = f"{how}. {where}Run the same command again to go on."
    interrupted = Interrupted(message, signum)
    interrupted.requested = requested
    return interrupted


def stopped_at_once(kept: Iterable[str], signum: int) -> StoppedAtOnce:
    """What is raised when a second signal has come, and these places keep concepts."""
    places = ", ".join(kept)
    where = f"Kept {places}. " if places else ""
    return StoppedAtOnce(f"stopped at once. {where}Run the same command again to go on.", signum)


@contextmanager
def signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """While open, each signal that asks for a stop calls `handler`.

    Not so outside the main thread, because Python handles signals only there. What `nohup` has
    turned off stays off.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM, *([BREAK] if BREAK is not None else [])]
    if HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN:
        numbers.append(HANGUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def insists(signum: int) -> bool:
    """Whether this signal, coming after another one, asks for a stop at once."""
    return signum != HANGUP


class Interrupt:
    """A context in which `signum` is the signal that asked for a stop, or None.

    `note` tells the user that the signal has come, as a step may take minutes.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self.signum: int | None = None
        self._signals = ExitStack()

    def __enter__(self) -> Self:
        self._signals.enter_context(signals_to(self._handle))
        return self

    def __exit__(self, *_error: object) -> None:
        self._signals.close()

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is not None:
            if insists(signum):
                raise stopped_at_once((), signum)
            return
        self.signum = signum
        # Of its own thread: whatever the signal has interrupted may hold what a note waits for.
        threading.Thread(target=self._note, args=(STOPPING,), daemon=True).start()
