"""The process that trains one word of the queue: `python -m pseudoword.ui.training WORKSPACE ID`.

It writes down how far it is, and how it ended. If it is killed, all that it has saved is there, and
it goes on from there when it is started again.
"""

import contextlib
import sys
import traceback

from pseudoword import api
from pseudoword.errors import PseudowordError, RunFolderError
from pseudoword.text import reason
from pseudoword.ui.job_files import PROGRESS, RUNNING, JobFiles, State
from pseudoword.ui.jobs import settings_of
from pseudoword.ui.progress import FileProgress
from pseudoword.ui.workspace import Workspace


def train(files: JobFiles) -> None:
    """Train a word of the queue, unless another process does or it has ended already."""
    with contextlib.suppress(RunFolderError), files.workspace.turn(files.name, patience_s=5.0):
        if files.outcome:
            return
        state, sentence = _trained(files)
        files.end(state, sentence)
        (files.folder / RUNNING).unlink(missing_ok=True)


def _trained(files: JobFiles) -> tuple[State, str]:
    """How the training ended, and what to tell of it."""
    try:
        files.begin()
        progress = FileProgress(files.folder / PROGRESS)
        (done,) = api.train_pack([settings_of(files)], progress=progress)
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
            f"saved is not lost: resume it to go on. {files.folder / 'training.log'} says more."
        )
    return "done", done.stopped or f"{done.concept.token} is ready."


def main() -> None:
    """Train the word that the command line names."""
    files = JobFiles(Workspace(sys.argv[1]), sys.argv[2])
    try:
        train(files)
    except PseudowordError as error:  # it has not even begun
        files.end("failed", str(error))


if __name__ == "__main__":
    main()
