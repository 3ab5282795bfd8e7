"""What happens beside training: after its steps a concept is measured, logged, shown and saved."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

from PIL import Image

from pseudoword.config.fields import AUTO
from pseudoword.errors import PseudowordError, SettingsError, StorageError
from pseudoword.formats import native
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.report import charts
from pseudoword.runs import checkpoint, previews, requests
from pseudoword.runs.folder import BEST, CSV, CURVES
from pseudoword.runs.setup import Run
from pseudoword.runs.trackers import TRACKERS, Tracker
from pseudoword.text import public, reason
from pseudoword.training.loop import StepMetrics


class RunCallbacks:
    """Watches one run. Nothing here draws a random number that training would miss.

    Nor does a run fail for what only shows how it goes: what goes wrong there is told. A full disk
    does stop it.
    """

    def __init__(self, family: Family, run: Run, progress: Progress) -> None:
        self._family, self._run, self._progress = family, run, progress
        self._trackers: dict[str, Tracker] = {}
        self._told: set[str] = set()
        self.stop_requested = False

    def __enter__(self) -> Self:
        """Open the further logs.

        Raises:
            SettingsError: one cannot be opened.
        """
        folder, config = self._run.folder, self._run.config
        before = folder.read_log()
        if "csv" in config.log:
            folder.files.register(CSV)
        for name in config.log:
            try:
                self._trackers[name] = TRACKERS[name](folder.path, config, before)
            except PseudowordError:
                raise
            except Exception as error:  # of the library, or of its network
                raise SettingsError(f"--log {name} does not work: {reason(error)}") from error
        return self

    def __exit__(self, *_error: object) -> None:
        self._track(lambda tracker: tracker.close())

    def on_train_begin(self) -> None:
        """Save the start, and measure the word there, unless the run is under way."""
        run = self._run
        if run.state.step:
            return
        checkpoint.save(
            run.folder.path, run.state, run.setup.sources
        )  # a step the pack has in common
        if run.config.evaluate_every:
            self._log(0, self._evaluate())

    def on_step_end(self, step: int, seen: StepMetrics, seconds: float) -> bool:
        """Look at the run after `step`; it may be told to stop.

        What is written comes before the checkpoint: a run killed in between does it again.

        Returns:
            Whether previews were drawn, which the user was told.
        """
        run, config = self._run, self._run.config
        numbers = {"loss": seen.loss, "lr": seen.lr, "norm": seen.norm, "grad": seen.grad}
        numbers["seconds"] = round(seconds, 4)
        every = config.evaluate_every
        if every and (step % every == 0 or step == config.total_steps):
            numbers |= self._evaluate()
        self._log(step, numbers)
        last = not run.state.unfinished
        requested = requests.take(run.folder.path)
        if _is_due(step, config.save_every) or "save" in requested:
            run.folder.keep_copy(run.concept(), step, config.keep_last)
        shown = not last and (_is_due(step, config.preview_every) or "preview" in requested)
        if shown:
            self.show()
        if last or _is_due(step, config.checkpoint_every) or "save" in requested:
            self.save()
        self.stop_requested |= "stop" in requested
        return shown

    def save(self) -> None:
        """Save the state, and the word as it is now."""
        run = self._run
        checkpoint.save(run.folder.path, run.state, run.setup.sources)
        run.folder.write_concept(run.concept())

    def show(self) -> None:
        """Draw the previews and the curves."""
        run, step = self._run, self._run.state.step
        self.draw_curves()
        with self._note_if_it_fails("the previews were not all drawn"):
            drawn = previews.draw(
                self._family, run.concept(), run.config, run.folder, step, self._progress
            )
            for i, picture in enumerate(drawn, 1):
                self._track(_picture_logger(step, f"preview {i}", picture))

    def draw_curves(self) -> None:
        """Draw the curves of the log so far."""
        run = self._run
        with self._note_if_it_fails("the curves were not drawn"):
            title = f"{run.config.token} on {public(run.config.base)}"
            run.folder.files.write(CURVES, charts.curves(run.folder.read_log(), title))

    def _log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.folder.append_log({"step": step, **numbers})
        self._track(lambda tracker: tracker.log(step, numbers))

    def _track(self, tell: Callable[[Tracker], None]) -> None:
        """Let all further logs know; one that fails is told no more."""
        for name, tracker in list(self._trackers.items()):
            del self._trackers[name]
            with self._note_if_it_fails(f"--log {name} gets nothing more"):
                tell(tracker)
                self._trackers[name] = tracker

    @contextmanager
    def _note_if_it_fails(self, lost: str) -> Iterator[None]:
        try:
            yield
        except StorageError:
            raise
        except Exception as error:  # memory, fonts, networks
            if lost not in self._told:
                self._told.add(lost)
                token = self._run.config.token
                why = reason(error).rstrip(".")
                self._progress.note(f"{token}: {lost}: {why}. The word is not affected.")

    def _evaluate(self) -> Mapping[str, float]:
        run, config = self._run, self._run.config
        found = run.evaluate(self._family)
        evaluations = run.state.evaluations
        if evaluations.add(found, run.state.word()):
            run.folder.files.write(BEST, native.dump(run.concept()))
        if config.steps is AUTO and (reason := evaluations.plateau(config.patience)):
            run.state.stopped = f"{reason}; the word of step {evaluations.best_step} is the best"
        warning = evaluations.overfitting()
        if warning and "overfitting" not in self._told:
            self._told.add("overfitting")
            self._progress.note(f"{config.token}: {warning}")
        values = {"evaluation": found.loss}
        return values if found.held_out is None else {**values, "held_out": found.held_out}


def _is_due(step: int, every: int) -> bool:
    """Whether something happens at this step that happens every so many; 0: never."""
    return bool(every) and step % every == 0


def _picture_logger(step: int, name: str, picture: Image.Image) -> Callable[[Tracker], None]:
    return lambda tracker: tracker.picture(step, name, picture)
