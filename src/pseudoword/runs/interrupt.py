"""Ctrl-C and SIGTERM stop a run after the current step; the second time, at once."""

import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

STOPPING = "stopping after this step; do it again to stop at once"


class Interrupted(KeyboardInterrupt):
    """The run was stopped by a signal, after its state was saved."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


def stopped(saved: Iterable[str], signum: int) -> Interrupted:
    """What is raised when concepts were stopped that are saved at these places."""
    places = ", ".join(place for place in saved if place)
    where = f"Saved {places}. " if places else ""
    return Interrupted(f"stopped. {where}Run the same command again to go on.", signum)


class Interrupt:
    """A context in which `signum` is the signal that asked for a stop, or None.

    Outside the main thread it stays None, because Python handles signals only there. `note` tells
    the user that the signal has come, as a step may take minutes.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self.signum: int | None = None
        self._old_handlers: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._old_handlers = {s: signal.signal(s, self._handle) for s in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is not None:
            raise KeyboardInterrupt
        self.signum = signum
        # Of its own thread: whatever the signal has interrupted may hold what a note waits for.
        threading.Thread(target=self._note, args=(STOPPING,), daemon=True).start()
