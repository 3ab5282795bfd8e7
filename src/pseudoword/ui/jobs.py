"""The queue of trainings. All of it is on disk: a page may go and come back, or there may be two.

What is asked for, and what has come of it, is in `queue/ID/` (see `job_files`); its run is in
`runs/ID/`, and its word, as soon as there is one, in `words/ID/`.
"""

import contextlib
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from pseudoword import internals, lookup
from pseudoword.config import TrainConfig
from pseudoword.errors import RunFolderError, SettingsError
from pseudoword.files import in_order, write_whole
from pseudoword.placeholders import named
from pseudoword.progress import Silent
from pseudoword.text import brief, public
from pseudoword.ui import processes
from pseudoword.ui.drawing import Drawing
from pseudoword.ui.job import Job, job_of
from pseudoword.ui.job_files import (
    OTHERS,
    PICTURES,
    SENTENCES,
    SETTINGS,
    WORKER,
    JobFiles,
    in_queue,
    settings_of,
    state_of,
)
from pseudoword.ui.library import Library
from pseudoword.ui.pictures import DataSets, link_or_copy, names_of
from pseudoword.ui.run_logs import LOG, Curves
from pseudoword.ui.settings import checked
from pseudoword.ui.workspace import Kind, UnknownIdError, Workspace

KEPT: tuple[Kind, ...] = ("runs", "queue")
"""The folders of a training that are moved to the trash; its word stays."""

WAKE_EVERY_S = 3.0


class Queue:
    """The trainings of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.data_sets = DataSets(workspace)
        self.library = Library(workspace)
        self.drawing = Drawing(self.library)
        self._woken = -math.inf

    def submit(
        self,
        data_set: str,
        token: str,
        *,
        sentences: Sequence[str] = (),
        **settings: Any,
    ) -> Job:
        """Put a training at the end of the queue, and see that somebody works on the queue.

        The pictures are taken as they are now: the data set may be changed or deleted afterwards.

        Args:
            data_set: the id of a data set.
            token: what to call the new word. No other word or training here may be called so,
                nor as one of `also`.
            sentences: sentences of one's own to learn in, with `[name]` in each; instead of a
                `template`.
            **settings: fields of `TrainConfig`, as numbers and switches or as the command line
                takes them.

        Raises:
            PseudowordError: a setting is wrong, the name is taken, there are no pictures; the
                message says which.
        """
        config = self.config(data_set, token, sentences=sentences, **settings)
        with self.workspace.turn("names"):
            for new in config.tokens:
                self.library.check_name(new)
            waiting = [job for job in self.jobs() if not job.over]
            if len(waiting) >= self.workspace.limits.most_jobs:
                raise SettingsError(
                    f"{len(waiting)} trainings are waiting already. Remove one, or wait."
                )
            name, folder = self.workspace.new("queue")
            try:
                files = JobFiles(self.workspace, name)
                self._write(files, config, data_set, sentences)
                internals.check(settings_of(files), Silent())
                steps = internals.last_step(config), config.total_steps
                pictures = names_of(self.data_sets.pictures(data_set))
                files.submit(config.tokens, pictures, *steps)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        self.drawing.release()  # so that training has the memory
        self.wake()
        return self.job(name)

    def _write(
        self, files: JobFiles, config: TrainConfig, data_set: str, sentences: Sequence[str]
    ) -> None:
        """Put all into its folder that a training needs."""
        with self.workspace.turn("pictures"):  # else one that is just cut might not be there
            pictures = in_order(self.data_sets.files(data_set))
            link_or_copy(pictures, files.folder / PICTURES)
        changes: dict[str, Any] = {"pictures": (files.folder / PICTURES,)}
        if sentences:
            write_whole(files.folder / SENTENCES, "\n".join(sentences).encode())
            changes["template"] = str(files.folder / SENTENCES)
        for i, word in enumerate(self._other_words(config, data_set, sentences)):
            copy = files.folder / OTHERS / f"{i:03}.safetensors"
            write_whole(copy, word.read_bytes())
            changes["words"] = (*changes.get("words", ()), str(copy))
        config = config.model_copy(update=changes)
        text = config.to_toml().encode(errors="surrogateescape")
        write_whole(files.folder / SETTINGS, text)

    def _other_words(
        self, config: TrainConfig, data_set: str, sentences: Sequence[str]
    ) -> list[Path]:
        """The files of the words that captions, sentences and previews name.

        Only those that were learned on the same base model: others may not fit it.
        """
        lines = [text for line in config.preview for text in (line.prompt, line.negative)]
        captions = [picture.caption for picture in self.data_sets.pictures(data_set)]
        words, base = self.library.words(), public(lookup.absolute(config.base))
        known = [*config.tokens, *(word.token for word in words)]
        meant = named([*captions, *sentences, *lines], known)
        return [
            self.library.file(word.id)
            for word in words
            if word.base == base and word.token in meant
        ]

    def config(
        self,
        data_set: str,
        token: str,
        *,
        sentences: Sequence[str] = (),
        **settings: Any,
    ) -> TrainConfig:
        """The settings that `submit` would train with; raises as it does, and writes nothing."""
        if not self.data_sets.pictures(data_set):
            raise SettingsError("there are no pictures yet. Add three to five of the same thing.")
        values = checked(self.workspace, TrainConfig, settings)
        for sentence in sentences:
            if "[name]" not in sentence:
                raise SettingsError(
                    f"the sentence {brief(sentence)} has no [name] in it, where the word belongs"
                )
        folder = self.data_sets.files(data_set)
        return TrainConfig.check(**{**values, "pictures": [folder], "token": token.strip()})

    def jobs(self) -> list[Job]:
        """All trainings, in the order in which they were submitted."""
        return [job_of(files, self.library) for files in in_queue(self.workspace)]

    def job(self, name: str) -> Job:
        """One training.

        Raises:
            UnknownIdError: it is not in the queue any more.
        """
        return job_of(JobFiles(self.workspace, name), self.library)

    def curves(self, name: str) -> Curves:
        """What the training has logged so far."""
        return Curves.of(self.workspace.place("runs", name) / LOG)

    def filmstrip_drawn(self, name: str) -> object:
        """What changes when the filmstrip is drawn anew, as after each preview; None: it is not."""
        return state_of(self._filmstrip(name))

    def filmstrip(self, name: str) -> Image.Image | None:
        """All previews on one picture: a row for each prompt, a column for each step."""
        file = self._filmstrip(name)
        return internals.open_picture(file) if file.is_file() else None

    def _filmstrip(self, name: str) -> Path:
        return self.workspace.place("runs", name) / "previews" / "filmstrip.png"

    def stop(self, name: str) -> None:
        """Stop a training after its current step, keep its word; take a waiting one out."""
        try:
            with self.workspace.turn(name, patience_s=0.1):
                _take_out(JobFiles(self.workspace, name))
        except RunFolderError:  # a process trains it
            JobFiles(self.workspace, name).ask_to_stop()
            internals.ask(self.workspace.place("runs", name), "stop")

    def preview_now(self, name: str) -> None:
        """Draw the previews after the current step."""
        self._ask(name, "preview")

    def save_now(self, name: str) -> None:
        """Save the state and the word after the current step; the library then has it as it is."""
        self._ask(name, "save")

    def resume(self, name: str) -> Job:
        """Queue a training again that was stopped or has failed: it goes on where it was.

        Raises:
            SettingsError: another word has its name by now, or it is being learned.
        """
        with self.workspace.turn("names"):
            for word, token in self.job(name).tokens.items():
                self.library.check_name(token, but=word)
            with self._not_trained(name) as files:
                if files.has_begun:
                    files.queue_again()
        self.drawing.release()
        self.wake()
        return self.job(name)

    def remove(self, name: str) -> None:
        """Take a training that does not run out of sight, with its run. Its word stays.

        Raises:
            SettingsError: it runs; stop it first.
        """
        with self._not_trained(name) as files, self.workspace.turn("words"):
            _take_out(files)  # so that it does not wait when it is brought back
            for kind in KEPT[::-1]:
                if self.workspace.place(kind, name).is_dir():
                    self.workspace.move_to_trash(kind, name)

    def undo_remove(self, name: str) -> Job:
        """Bring back what `remove` took away."""
        with self.workspace.turn(name, 1.0), self.workspace.turn("words"):
            for kind in KEPT:
                with contextlib.suppress(UnknownIdError):  # it had not begun
                    self.workspace.bring_back(kind, name)
        return self.job(name)

    @contextlib.contextmanager
    def _not_trained(self, name: str) -> Iterator[JobFiles]:
        """Hold the lock of a training, so that no process trains it and no page changes it.

        Raises:
            SettingsError: a process does.
        """
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self.workspace.turn(name, 1.0))
            except RunFolderError as error:
                called = self.job(name).called
                raise SettingsError(f"{called} is being learned. Stop it first.") from error
            yield JobFiles(self.workspace, name)

    def wake(self) -> None:
        """See that a worker works on the queue, if there is anything to do. Call it often."""
        if self.workspace.is_held(WORKER):
            self.drawing.release()  # also where another page has begun it
            return
        if time.monotonic() - self._woken < WAKE_EVERY_S:
            return  # it takes a moment until one that was started holds its lock
        if any(files.state == "queued" for files in in_queue(self.workspace)):
            self._woken = time.monotonic()
            processes.start_worker(self.workspace)

    def _ask(self, name: str, what: Literal["preview", "save"]) -> None:
        if self.job(name).state != "running":
            raise SettingsError(f"{self.job(name).called} is not being learned at the moment.")
        internals.ask(self.workspace.place("runs", name), what)


def _take_out(files: JobFiles) -> None:
    """Let a training that waits wait no more. The caller holds its lock."""
    if not files.has_begun:
        files.end("stopped", "It was taken out of the queue before it began.")
