"""Callbacks of a run: after its steps it is evaluated, logged, previewed and saved."""

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
    """The callbacks of one run.

    They draw no random numbers that training depends on. If previews, curves or further logs fail,
    this is reported and the run goes on; only a full disk stops it.
    """

    def __init__(self, family: Family, run: Run, progress: Progress) -> None:
        self._family, self._run, self._progress = family, run, progress
        self._trackers: dict[str, Tracker] = {}
        self._reported: set[str] = set()
        self.stop_requested = False

    def __enter__(self) -> Self:
        """Open the trackers.

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
        """Of a new run, save the first state and evaluate the word."""
        run = self._run
        if run.state.step:
            return
        # every run of a pack has this step, so all can resume from a common one
        checkpoint.save(run.folder.path, run.state, run.setup.sources)
        if run.config.evaluate_every:
            self._log(0, self._evaluate())

    def on_step_end(self, step: int, metrics: StepMetrics, seconds: float) -> bool:
        """Evaluate, log, preview and save, as far as due; stop the run if the loss has settled.

        The checkpoint comes last: a run that is killed before it does all of this again.

        Returns:
            Whether previews were drawn, which changed the progress display.
        """
        run, config = self._run, self._run.config
        numbers = {
            "loss": metrics.loss,
            "lr": metrics.lr,
            "norm": metrics.norm,
            "grad": metrics.grad,
        }
        numbers["seconds"] = round(seconds, 4)
        every = config.evaluate_every
        if every and (step % every == 0 or step == config.total_steps):
            numbers |= self._evaluate()
        self._log(step, numbers)
        last = not run.state.unfinished
        requested = requests.take(run.folder.path)
        if _is_due(step, config.save_every) or "save" in requested:
            run.folder.keep_copy(run.concept(), step, config.keep_last)
        previewed = not last and (_is_due(step, config.preview_every) or "preview" in requested)
        if previewed:
            self.draw()
        if last or _is_due(step, config.checkpoint_every) or "save" in requested:
            self.save()
        self.stop_requested |= "stop" in requested
        return previewed

    def save(self) -> None:
        """Save the state and the current word."""
        run = self._run
        checkpoint.save(run.folder.path, run.state, run.setup.sources)
        run.folder.write_concept(run.concept())

    def draw(self) -> None:
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

    def _track(self, send: Callable[[Tracker], None]) -> None:
        """Send something to all trackers. A tracker that fails gets nothing more."""
        for name, tracker in list(self._trackers.items()):
            del self._trackers[name]
            with self._note_if_it_fails(f"--log {name} gets nothing more"):
                send(tracker)
                self._trackers[name] = tracker

    @contextmanager
    def _note_if_it_fails(self, loss: str) -> Iterator[None]:
        """Report an error once, and go on; `loss` says what is lost by it."""
        try:
            yield
        except StorageError:
            raise
        except Exception as error:  # memory, fonts, networks
            if loss not in self._reported:
                self._reported.add(loss)
                token = self._run.config.token
                why = reason(error).rstrip(".")
                self._progress.note(f"{token}: {loss}: {why}. The word is not affected.")

    def _evaluate(self) -> Mapping[str, float]:
        run, config = self._run, self._run.config
        evaluation = run.evaluate(self._family)
        evaluations = run.state.evaluations
        if evaluations.add(evaluation, run.state.word()):
            run.folder.files.write(BEST, native.dump(run.concept()))
        if config.steps is AUTO and (reason := evaluations.plateau(config.patience)):
            run.state.stopped = f"{reason}; the word of step {evaluations.best_step} is the best"
        warning = evaluations.overfitting()
        if warning and "overfitting" not in self._reported:
            self._reported.add("overfitting")
            self._progress.note(f"{config.token}: {warning}")
        values = {"evaluation": evaluation.loss}
        if evaluation.held_out is not None:
            values["held_out"] = evaluation.held_out
        return values


def _is_due(step: int, every: int) -> bool:
    """Whether this step is a multiple of `every`; with 0, no step is."""
    return bool(every) and step % every == 0


def _picture_logger(step: int, name: str, picture: Image.Image) -> Callable[[Tracker], None]:
    return lambda tracker: tracker.picture(step, name, picture)
