"""What a training leaves in `queue/ID/`, and the state that follows from it.

`job.json` and `settings.toml` are written once, when it is submitted; beside them are the pictures
and other words as they were then. `running.json` is there while a process trains it, which also
holds the lock ID; `outcome.json` when that has ended; `stopping` when somebody has asked it to
stop; `alone` when a pack has failed in which it was. No two writers can disagree: the state is not
written anywhere, it is what these files say together.

Imports no torch, for the process that only waits for others.
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pseudoword.config import TrainConfig
from pseudoword.config.train import MAY_BE_PATHS
from pseudoword.errors import PseudowordError, StorageError
from pseudoword.files import read_regular, remove, write_whole
from pseudoword.ui.learned_words import LearnedWord
from pseudoword.ui.workspace import Workspace

State = Literal["queued", "running", "stopping", "done", "stopped", "failed"]

OVER: tuple[State, ...] = ("done", "stopped", "failed")
"""States of a training that waits or runs no more."""

JOB, SETTINGS, PICTURES, SENTENCES = "job.json", "settings.toml", "pictures", "sentences.txt"
OTHERS = "words"
RUNNING, STOPPING, OUTCOME = "running.json", "stopping", "outcome.json"
PROGRESS, LAST_WORDS, NO_WORD, STARTED = "progress.json", "last-words", "no-word", "started"
ALONE = "alone"

WORKER = "worker"
"""The lock of the process that works on the queue."""

LAST_WORDS_NBYTES = 4096
"""Kept free for each training, so that it can say what happened when the disk is full."""

LARGEST_NBYTES = 10_000_000

MOST_KEPT = 8192
"""Of so many files what was read is kept."""

DIED = (
    "The training was ended from outside: killed, or the machine went down. Nothing that was saved "
    "is lost: resume it, and it goes on where it was saved last."
)


class JobFiles:
    """The files of the training `name`.

    Raises:
        UnknownIdError: it is not in the queue any more.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace, self.name = workspace, name
        self.folder = workspace.path("queue", name)

    def submit(
        self, tokens: Sequence[str], pictures: Mapping[str, str], soonest: int, total: int
    ) -> None:
        """Write down, as the last thing, that it is in the queue.

        Args:
            tokens: what its words are called.
            pictures: id -> what each is called, which may be gone when something is said of it.
            soonest: the step after which it ends, or may first end.
            total: steps of training there will be at most.
        """
        self._make_room_for_last_words()
        steps = {"soonest": soonest, "total": total}
        about = {"tokens": list(tokens), "pictures": dict(pictures), **steps}
        about["created"] = time.time()
        write_whole(self.folder / JOB, json.dumps(about).encode())

    @property
    def about(self) -> dict[str, Any]:
        """What `submit` has written; empty while it has not."""
        return read_json(self.folder / JOB)

    @property
    def tokens(self) -> dict[str, str]:
        """Id in the library -> token, of its words, as they were called when it was submitted."""
        tokens = map(str, self.about.get("tokens") or ["?"])
        return {LearnedWord(self.name, i).id: token for i, token in enumerate(tokens, 1)}

    @property
    def running(self) -> dict[str, Any]:
        """Which process trains it, and since when; empty if none has begun."""
        return read_json(self.folder / RUNNING)

    @property
    def progress(self) -> dict[str, Any]:
        """What its process has told last, as `FileProgress` writes it."""
        return read_json(self.folder / PROGRESS)

    @property
    def outcome(self) -> dict[str, Any]:
        """How it ended: state and sentence; empty if it has not, or could not say."""
        for name in (OUTCOME, LAST_WORDS):
            found = read_json(self.folder / name)
            if found.get("state") in OVER:
                return found
        return {}

    @property
    def state(self) -> State:
        """The state that it is in."""
        outcome = self.outcome
        if not outcome:
            if not self.has_begun:
                return "queued"
            if self.workspace.is_held(self.name):
                return "stopping" if self.asked_to_stop else "running"
            outcome = self.outcome  # it may have ended just now
        over: State = outcome.get("state", "failed")
        return over

    @property
    def has_begun(self) -> bool:
        """Whether it waits no more, whatever has come of it."""
        return bool(self.outcome) or (self.folder / RUNNING).exists()

    @property
    def sentence(self) -> str:
        """What has happened; plain text, empty as long as it waits or runs."""
        return str(self.outcome.get("sentence") or (DIED if self.state == "failed" else ""))

    @property
    def asked_to_stop(self) -> bool:
        """Whether somebody has asked for a stop since it was queued."""
        return (self.folder / STOPPING).exists()

    def ask_to_stop(self) -> None:
        """Let whoever started its process know."""
        write_whole(self.folder / STOPPING, b"")

    def start(self) -> str:
        """Note that a process is about to be started for it; what `was_started_as` asks for."""
        mark = secrets.token_hex(8)
        write_whole(self.folder / STARTED, mark.encode())
        return mark

    def was_started_as(self, mark: str) -> bool:
        """Whether it has not been queued again since `start`."""
        try:
            found = read_regular(self.folder / STARTED, LARGEST_NBYTES, StorageError)
        except StorageError:
            return False
        return found == mark.encode()

    def begin(self) -> None:
        """Write down that this process trains it. The caller holds the lock."""
        remove(self.folder / PROGRESS)  # of the process before
        # On Windows, the Python of a virtual environment starts another one, which this is.
        running = {"pid": os.getpid(), "parent": os.getppid(), "began": time.time()}
        write_whole(self.folder / RUNNING, json.dumps(running).encode())

    def end(self, state: State, sentence: str) -> None:
        """Write down how it has ended; on a full disk, and where files may not be large, too.

        Raises:
            StorageError: no sentence can be written at all.
        """
        for longest in (3000, 300):
            outcome = {"state": state, "sentence": sentence[:longest]}
            data = json.dumps(outcome, ensure_ascii=False).encode("utf-8", "replace")
            if self._kept(data):
                return
        raise StorageError(f"cannot write how it has ended: {self.folder / OUTCOME}")

    def _kept(self, outcome: bytes) -> bool:
        """Write it where there is room for it, if there is."""
        try:
            write_whole(self.folder / OUTCOME, outcome)
        except StorageError:
            if len(outcome) > LAST_WORDS_NBYTES:
                return False
            try:
                with open(self.folder / LAST_WORDS, "r+b") as file:  # its room is there already
                    file.write(outcome.ljust(LAST_WORDS_NBYTES))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                return False
        return True

    @property
    def alone(self) -> bool:
        """Whether its process takes no others along."""
        return (self.folder / ALONE).exists()

    def queue_again(self, alone: bool = False) -> None:
        """Forget how it ended, and what it was asked for. The caller holds the lock."""
        if alone:
            write_whole(self.folder / ALONE, b"")
        else:
            remove(self.folder / ALONE)
        for request in self.workspace.place("runs", self.name).glob("*.request"):
            remove(request)
        self._make_room_for_last_words()
        deleted = [path.name for path in self.folder.glob(f"{NO_WORD}*")]
        for name in (*deleted, STARTED, STOPPING, RUNNING, OUTCOME):  # the last decides
            remove(self.folder / name)

    def _make_room_for_last_words(self) -> None:
        write_whole(self.folder / LAST_WORDS, b" " * LAST_WORDS_NBYTES)


def in_queue(workspace: Workspace) -> Sequence[JobFiles]:
    """All trainings, in the order in which they were submitted."""
    found: list[tuple[float, JobFiles]] = []
    for name in workspace.ids("queue"):
        with contextlib.suppress(PseudowordError):  # just removed
            files = JobFiles(workspace, name)
            if about := files.about:  # else half submitted
                found.append((float(about.get("created", 0)), files))
    return [files for _, files in sorted(found, key=lambda one: (one[0], one[1].name))]


def settings_of(files: JobFiles) -> TrainConfig:
    """The settings of a training, with where its run is; also in a workspace that was moved."""
    file, out = files.folder / SETTINGS, files.workspace.place("runs", files.name)
    written, now = TrainConfig.gather(file, out=out), files.workspace.folder
    before = written.pictures[0].parents[2]  # of queue/ID/pictures
    if before == now:
        return written

    def moved(place: str) -> str:
        inside = Path(place).is_relative_to(before)
        return str(now / Path(place).relative_to(before)) if inside else place

    there: dict[str, Any] = {}
    for name in MAY_BE_PATHS:
        value = getattr(written, name)
        place = tuple(map(moved, value)) if isinstance(value, tuple) else moved(str(value))
        if place not in (value, str(value)):
            there[name] = place
    return TrainConfig.gather(file, out=out, pictures=(files.folder / PICTURES,), **there)


def read_json(path: Path) -> dict[str, Any]:
    """What a small file of ours holds; nothing where it is not there, or not whole.

    It is read again when it has changed: a page asks for all of them every other second.
    """
    state = state_of(path)
    return {} if state is None else dict(_read_json(path, state))


def state_of(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written anew, or into; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(MOST_KEPT)
def _read_json(path: Path, _state: object) -> Mapping[str, Any]:
    try:
        found = json.loads(read_regular(path, LARGEST_NBYTES, StorageError))
    except (PseudowordError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
