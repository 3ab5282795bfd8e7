"""The process that trains one word of the queue: `python -m pseudoword.ui.training WORKSPACE ID`.

It writes down how far it is, and how it ended. If it is killed, all that it has saved is there, and
it goes on from there when it is started again.
"""

import contextlib
import json
import os
import sys
import time
import traceback

from pseudoword import api
from pseudoword.errors import PseudowordError, RunFolderError
from pseudoword.files import write_whole
from pseudoword.text import reason
from pseudoword.ui.jobs import PROGRESS, RUNNING, Queue, State
from pseudoword.ui.progress import FileProgress
from pseudoword.ui.workspace import Workspace


def train(queue: Queue, name: str) -> None:
    """Train the word `name` of the queue, unless another process does or it has ended already."""
    folder = queue.workspace.path("queue", name)
    with contextlib.suppress(RunFolderError), queue.workspace.turn(name, patience_s=5.0):
        if queue.outcome(name) is not None:
            return
        state, sentence = _trained(queue, name)
        with contextlib.suppress(PseudowordError):
            queue.publish(name)
        queue.end(name, state, sentence)
        (folder / RUNNING).unlink(missing_ok=True)


def _trained(queue: Queue, name: str) -> tuple[State, str]:
    """How the training ended, and what to tell of it."""
    folder = queue.workspace.path("queue", name)
    try:
        about = {"pid": os.getpid(), "began": time.time()}
        write_whole(folder / RUNNING, json.dumps(about).encode())
        progress = FileProgress(folder / PROGRESS)
        (done,) = api.train_pack([queue.settings(name)], progress=progress)
    except PseudowordError as error:
        return "failed", "\n".join([str(error), *getattr(error, "__notes__", [])])
    except KeyboardInterrupt:
        return "stopped", "It was stopped, and its word kept. Resume it to go on."
    except OSError as error:
        return "failed", f"{error.filename or 'A file'} cannot be used: {reason(error)}."
    except BaseException as error:
        traceback.print_exc()
        return "failed", (
            f"Something unexpected happened ({type(error).__name__}: {reason(error)}). What was "
            f"saved is not lost: resume it to go on. {folder / 'training.log'} says more."
        )
    return "done", done.stopped or f"{done.concept.token} is ready."


def main() -> None:
    """Train the word that the command line names."""
    queue, name = Queue(Workspace(sys.argv[1])), sys.argv[2]
    try:
        train(queue, name)
    except PseudowordError as error:  # not even begun
        queue.end(name, "failed", str(error))


if __name__ == "__main__":
    main()
