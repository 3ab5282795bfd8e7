"""Starting the processes behind a page. None of them ends with it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pseudoword.files import WINDOWS, write_errors
from pseudoword.ui.workspace import Workspace

WORKER, TRAINING = "pseudoword.ui.worker", "pseudoword.ui.training_process"
"""What `python -m` runs."""

HELD = 75
"""The exit code of a training that has not begun, as another held its lock: it still waits."""


def start_worker(workspace: Workspace) -> "subprocess.Popen[bytes]":
    """Start a process that works on the queue; it ends at once where there is one."""
    return _start(WORKER, workspace, workspace.folder / "worker.log")


def start_training(workspace: Workspace, name: str) -> "subprocess.Popen[bytes]":
    """Start a process that trains one word of the queue, and ends with it."""
    return _start(TRAINING, workspace, training_log(workspace, name), name)


def training_log(workspace: Workspace, name: str) -> Path:
    """What the process says that trains that word first.

    On Windows, no folder can be moved while a file in it is open, and the process may go on with
    other words when this one is taken out of the queue.
    """
    return (workspace.folder if WINDOWS else workspace.path("queue", name)) / "training.log"


def _start(module: str, workspace: Workspace, log: Path, *more: str) -> "subprocess.Popen[bytes]":
    """`module` in a process of its own session: a closed terminal or Ctrl-C does not end it.

    On Windows it has a terminal of its own, which is not seen, and no part in that of the page.

    It works in an empty folder, so that no setting can name a file by chance.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(Path(path).resolve()) for path in given if path]  # from there, too
    apart: dict[str, Any] = {"start_new_session": True}
    if WINDOWS:
        flags = ("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")
        apart = {"creationflags": sum(getattr(subprocess, name) for name in flags)}
    here = workspace.folder / "locks" / "empty"
    with write_errors(log):
        here.mkdir(exist_ok=True, mode=0o700)
        with open(log, "wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", module, str(workspace.folder), *more],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=here,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"},
                **apart,
            )
