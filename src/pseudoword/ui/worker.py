"""The process that works on the queue: `python -m pseudoword.ui.worker WORKSPACE`.

A page starts it, and it outlives the page. It trains what waits, in the order of the queue: the
first in a process of its own, which takes others along that can share its batches. It ends when
nothing is left. Only one works on a workspace: it holds a lock. If it is killed, the trainings that
run go on, and the next worker waits for them.
"""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pseudoword.errors import PseudowordError, RunFolderError
from pseudoword.files import WINDOWS
from pseudoword.ui import processes
from pseudoword.ui.job_files import DIED, WORKER, JobFiles, State, in_queue
from pseudoword.ui.workspace import Workspace

LOOK_EVERY_S = 0.3

OUT_OF_MEMORY = 9
"""What Linux sends to the process that takes most of the memory when there is none left."""

IDLE_S = 3.0
"""It ends when there has been nothing to do for so long."""


class Child(Protocol):
    """A process that trains."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def poll(self) -> int | None:
        """The exit code, below zero after a signal; None while it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...


Start = Callable[[Workspace, str], Child]


def work(
    workspace: Workspace, *, idle_s: float = IDLE_S, start: Start = processes.start_training
) -> None:
    """Train what waits in the queue, until there has been nothing for `idle_s` seconds.

    Args:
        workspace: where the queue is.
        idle_s: seconds.
        start: starts the process that trains the word of an id.

    Raises:
        RunFolderError: another process works on this queue.
    """
    with workspace.turn(WORKER, patience_s=1.0):
        busy_at = time.monotonic()
        while True:
            states = [(files.state, files) for files in in_queue(workspace)]
            waiting = [files for state, files in states if state == "queued"]
            if any(state in ("running", "stopping") for state, _ in states):
                busy_at = time.monotonic()  # one of a worker that was killed: wait for it
            elif waiting:
                _train(workspace, waiting[0], start)
                busy_at = time.monotonic()
                continue
            elif time.monotonic() - busy_at >= idle_s:
                return
            time.sleep(LOOK_EVERY_S)


def _train(workspace: Workspace, first: JobFiles, start: Start) -> None:
    """Train a word, and what its process takes along, and see that how each ended is known."""
    try:
        mark, log = first.start(), processes.training_log(workspace, first.name)
        child = start(workspace, first.name)
    except PseudowordError as error:
        first.end("failed", str(error))
        return
    told = WINDOWS  # where a process cannot be asked to end, the folders of its words are
    while (code := child.poll()) is None:
        time.sleep(LOOK_EVERY_S)
        its = [] if told else _trained_by(workspace, child.pid)
        if its and all(files.asked_to_stop for files in its):
            told = True
            child.terminate()  # it stops after its step; while it loads, at once
    left = _trained_by(workspace, child.pid)
    with contextlib.suppress(PseudowordError, OSError):  # it was removed
        waits = code == processes.HELD and not first.has_begun
        if not (waits or first.outcome) and first.was_started_as(mark):  # perhaps not even begun
            left = [first, *(files for files in left if files.name != first.name)]
    for files in left:
        with contextlib.suppress(PseudowordError, OSError):
            files.end(*_ended(code, files.asked_to_stop, log))


def _trained_by(workspace: Workspace, pid: int) -> list[JobFiles]:
    """The words that a process trains, or trained until it was killed."""

    def is_its(running: Mapping[str, Any]) -> bool:
        return pid in (running.get("pid"), running.get("parent"))

    return [one for one in in_queue(workspace) if is_its(one.running) and not one.outcome]


def _ended(code: int, asked_to_stop: bool, log: Path) -> tuple[State, str]:
    """The state, and the sentence, of a training that ended without a word of its own.

    Args:
        code: the exit code of its process, below zero after a signal.
        asked_to_stop: whether somebody wanted it to stop.
        log: what the process has said.
    """
    if asked_to_stop:
        return "stopped", "It was stopped. Resume it to go on."
    if code > 0:
        return "failed", (
            f"The process that trains has ended before it could say why (exit code {code}). "
            f"{log} says more. Nothing that was saved is lost: resume it to go on."
        )
    if code < 0:
        with contextlib.suppress(ValueError):
            told = f"{DIED} (It got {signal.Signals(-code).name}.)"
            if -code == OUT_OF_MEMORY:
                told += " If nobody killed it, memory ran out: a smaller --batch needs less."
            return "failed", told
    return "failed", DIED


def main() -> None:
    """Work on the workspace that the command line names."""
    with contextlib.suppress(RunFolderError):  # another one does
        work(Workspace(sys.argv[1]))


if __name__ == "__main__":
    main()
