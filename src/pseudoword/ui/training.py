"""Train a word of the queue, and with it, in one pack, others that wait and can share its batches.

For each it is written down how far it is, and how it ended. If the process is killed, all that was
saved is there, and they go on from there when they are started again.
"""

import contextlib
import math
import time
import traceback
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pseudoword import internals
from pseudoword.config import TrainConfig
from pseudoword.errors import PseudowordError, RunFolderError, StorageError
from pseudoword.files import remove
from pseudoword.progress import Ending
from pseudoword.text import reason
from pseudoword.ui import processes
from pseudoword.ui.job_files import PROGRESS, RUNNING, JobFiles, in_queue, settings_of
from pseudoword.ui.progress import FileProgress

LOOK_EVERY_S = 2.0
"""How often a pack with room for more words looks for them."""

PATIENCE_S = 5.0
"""A page that removes or resumes a word holds its lock for a moment."""

KEPT = "It was stopped, and its word kept. Resume it to go on."


@dataclass(frozen=True)
class Training:
    """A word that this process trains."""

    files: JobFiles
    config: TrainConfig
    progress: FileProgress
    lock: ExitStack
    """unlocks its id"""


class TrainingPack:
    """The words that this process trains; it shows and ends each of them on its own."""

    def __init__(self, first: JobFiles) -> None:
        self._first, self._workspace = first, first.workspace
        self._began, self._looked_at = time.time(), -math.inf
        self._steps = False
        self._trainings: dict[Path, Training] = {}
        """folder of the run -> training, of those that have not ended"""

    def train(self) -> bool:
        """Train the first word, and those that can share its batches, to their ends.

        Returns:
            Whether the first is not left to wait: False where somebody holds its lock.
        """
        config = self._take(self._first, patience_s=PATIENCE_S)
        if config is None:
            return bool(self._first.outcome)
        more = None if self._first.alone else lambda room: self._join(config, room)
        try:
            options = internals.Options(keep_going=True, foretold=self.foretold)
            internals.learn([config], self, options, more=more, each=self)
        except KeyboardInterrupt:
            self._end_all("stopped", KEPT)
        except (StorageError, OSError) as error:  # the others would meet it, too
            self._end_all("failed", self._told(error))
        except BaseException as error:
            if not isinstance(error, PseudowordError):
                traceback.print_exc()
            if len(self._trainings) == 1:
                self._end_all("failed", self._told(error))
            else:  # one of them has caused it
                self._put_back()
        return True

    def _join(self, first: TrainConfig, room: int) -> list[TrainConfig]:
        """Begin further words that wait and can be in a pack with the first.

        Those that came later do not pass words of other kinds, which would never have their turn.
        """
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return []
        self._looked_at = time.monotonic()
        found: list[TrainConfig] = []
        for files in in_queue(self._workspace):
            if len(found) == room:
                break
            if files.state != "queued" or files.alone:
                continue
            with contextlib.suppress(PseudowordError):  # told when it is its turn; or just removed
                if internals.shared(settings_of(files)) == internals.shared(first):
                    if config := self._take(files):
                        found.append(config)
                elif float(files.about.get("created", 0.0)) > self._began:
                    break
        return found

    def _take(self, files: JobFiles, patience_s: float = 0.0) -> TrainConfig | None:
        """Begin a word, unless another process does or it has ended already."""
        with ExitStack() as lock, contextlib.suppress(RunFolderError):
            lock.enter_context(self._workspace.turn(files.name, patience_s))
            if files.outcome:
                return None
            config = settings_of(files)
            files.begin()
            progress = FileProgress(files.folder / PROGRESS)
            self._trainings[config.folder] = Training(files, config, progress, lock.pop_all())
            return config
        return None

    def _told(self, error: BaseException) -> str:
        """What to tell of an error that ended the training of words."""
        if isinstance(error, PseudowordError):
            return "\n".join([str(error), *getattr(error, "__notes__", [])])
        if isinstance(error, OSError):
            return f"{error.filename or 'A file'} cannot be used: {reason(error)}."
        return (
            f"Something unexpected happened ({type(error).__name__}: {reason(error)}). What was "
            "saved is not lost: resume it to go on. "
            f"{processes.training_log(self._workspace, self._first.name)} says more."
        )

    def _put_back(self) -> None:
        """Let each word be trained by a process of its own."""
        for run in list(self._trainings):
            training = self._trainings.pop(run)
            with training.lock:
                training.files.queue_again(alone=True)

    def _end_all(self, how: Ending, sentence: str) -> None:
        for run in list(self._trainings):
            self._end(run, how, sentence)

    def _end(self, run: Path, how: Ending, sentence: str) -> None:
        training = self._trainings.pop(run)
        with training.lock:
            training.files.end(how, sentence)
            remove(training.files.folder / RUNNING)

    # What the pack tells

    def phase(self, text: str) -> None:
        """Something begins, for all."""
        self._steps = text.split()[0] == internals.LEARNING
        for training in self._trainings.values():
            training.progress.phase(text)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Told, unless words take steps: a pack counts those of all words, and each log its own."""
        if not self._steps:
            for training in self._trainings.values():
                training.progress.advance(done, total, detail)

    def note(self, text: str) -> None:
        """The user should know this of all words; that it stops, the page tells by itself."""
        if text == internals.STOPPING:
            return
        for training in self._trainings.values():
            training.progress.note(text)

    def foretold(self, least_s: float, most_s: float) -> None:
        """In how many seconds it ends, or may first end, and in how many at most."""
        for training in self._trainings.values():
            training.progress.foretold(least_s, most_s)

    # What each word tells

    def note_of(self, run: Path, text: str) -> None:
        """The user should know this of one word."""
        self._trainings[run].progress.note(text)

    def soonest(self, run: Path, step: int) -> None:
        """The step after which one word ends, or may end first."""
        self._trainings[run].progress.soonest(step)

    def ended(self, run: Path, how: Ending, sentence: str) -> None:
        """A word has left the pack."""
        if how == "stopped":
            sentence = KEPT if sentence else "It was stopped. Resume it to go on."
        self._end(run, how, sentence)


def train(first: JobFiles) -> int:
    """Train a word of the queue, and others with it. Returns the exit code of the process."""
    try:
        return 0 if TrainingPack(first).train() else processes.HELD
    except PseudowordError as error:  # it has not even begun
        first.end("failed", str(error))
        return 0
