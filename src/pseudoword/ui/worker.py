"""The process that works on the queue: `python -m pseudoword.ui.worker WORKSPACE`.

A page starts it, and it outlives the page. It trains what waits, one after the other, each in a
process of its own, and ends when nothing is left. Only one works on a workspace: it holds a lock.
If it is killed, the training that runs goes on, and the next worker waits for it.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Protocol

from pseudoword.errors import PseudowordError, RunFolderError
from pseudoword.ui import processes
from pseudoword.ui.jobs import DIED, WORKER, Queue, State
from pseudoword.ui.workspace import Workspace

LOOK_EVERY_S = 0.3

IDLE_S = 3.0
"""It ends when there has been nothing to do for so long."""


class Child(Protocol):
    """A process that trains."""

    def poll(self) -> int | None:
        """The exit code, below zero after a signal; None while it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...


Start = Callable[[Workspace, str], Child]


def work(workspace: Workspace, *, idle_s: float = IDLE_S, start: Start | None = None) -> None:
    """Train what waits in the queue, until there has been nothing for `idle_s` seconds.

    Args:
        workspace: where the queue is.
        idle_s: seconds.
        start: starts the process that trains the word of an id.

    Raises:
        RunFolderError: another process works on this queue.
    """
    queue = Queue(workspace)
    with workspace.turn(WORKER, patience_s=1.0):
        idle_since = time.monotonic()
        while time.monotonic() - idle_since <= idle_s:
            jobs = queue.jobs()
            waiting = [job.id for job in jobs if job.state == "queued"]
            running = [job.id for job in jobs if job.state in ("running", "stopping")]
            if running:  # of a worker that was killed: wait for it
                idle_since = time.monotonic()
                queue.publish(running[0])
            elif waiting:
                _train(queue, waiting[0], start or processes.start_training)
                idle_since = time.monotonic()
                continue
            time.sleep(min(LOOK_EVERY_S, max(idle_s, 0.01)))


def _train(queue: Queue, name: str, start: Start) -> None:
    """Train one word to its end, in a process of its own, and see that how it ended is known."""
    try:
        child = start(queue.workspace, name)
    except PseudowordError as error:
        queue.end(name, "failed", str(error))
        return
    told = os.name == "nt"  # where a process cannot be asked to end, only the request can
    while child.poll() is None:
        time.sleep(LOOK_EVERY_S)
        with contextlib.suppress(PseudowordError):
            if not told and queue.is_asked_to_stop(name):
                told = True
                child.terminate()  # it stops after its step; while it loads, at once
            queue.publish(name)
    code = child.poll() or 0
    with contextlib.suppress(PseudowordError):  # it was removed
        if queue.outcome(name) is None:
            queue.end(name, *_ended(code, queue.is_asked_to_stop(name)))
            queue.publish(name)


def _ended(code: int, asked_to_stop: bool) -> tuple[State, str]:
    """The state, and the sentence, of a training that ended without a word of its own."""
    if asked_to_stop:
        return "stopped", "It was stopped. Resume it to go on."
    if code < 0:
        with contextlib.suppress(ValueError):
            return "failed", f"{DIED} ({signal.Signals(-code).name})"
    return "failed", DIED


def main() -> None:
    """Work on the workspace that the command line names."""
    with contextlib.suppress(RunFolderError):  # another one does
        work(Workspace(sys.argv[1]))


if __name__ == "__main__":
    main()
