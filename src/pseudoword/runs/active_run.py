"""A run in training: after its steps it is evaluated, logged, previewed and saved."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import methodcaller

from pseudoword.config.fields import AUTO
from pseudoword.errors import PseudowordError, SettingsError, StorageError
from pseudoword.report import charts
from pseudoword.runs import checkpoint, previews, requests
from pseudoword.runs.folder import CSV, CURVES
from pseudoword.runs.run import Run
from pseudoword.runs.trackers import TRACKERS, Tracker
from pseudoword.text import public, reason
from pseudoword.training.early_stopping import EvaluationLoss
from pseudoword.training.step import StepMetrics


class ActiveRun:
    """A run from when it enters its pack until it leaves.

    It draws no random numbers that training depends on. If previews, curves or further logs fail,
    this is reported and the run goes on; only a full disk stops it.
    """

    def __init__(self, run: Run) -> None:
        """Open the trackers.

        Raises:
            SettingsError: one cannot be opened.
        """
        self.run = run
        self.seconds = 0.0
        """spent in its steps"""
        self._note = run.planned.progress.note
        self._requested: Collection[str] = ()
        self._trackers: dict[str, Tracker] = {}
        self._reported: set[str] = set()
        before = run.folder.read_log()
        if "csv" in run.config.log:
            run.folder.files.register(CSV)
        try:
            for name in run.config.log:
                self._trackers[name] = self._opened(name, before)
        except BaseException:
            self.close()
            raise

    def _opened(self, name: str, before: Sequence[Mapping[str, float]]) -> Tracker:
        try:
            return TRACKERS[name](self.run.folder.path, self.run.config, before)
        except PseudowordError:
            raise
        except Exception as error:  # of the library, or of its network
            raise SettingsError(f"--log {name} does not work: {reason(error)}") from error

    def close(self) -> None:
        """Close the trackers."""
        self._track(lambda tracker: tracker.close())

    def on_rows(self) -> None:
        """Look for requests; check the word of this step, if it is needed for anything."""
        config, state, folder = self.run.config, self.run.state, self.run.folder.path
        self._requested = [one for one in ("preview", "save") if requests.take_one(folder, one)]
        intervals = (
            *(config.evaluate_every, config.preview_every),
            *(config.save_every, config.checkpoint_every),
        )
        due = any(_is_due(state.step, every) for every in intervals)
        if due or self._requested or not state.unfinished:
            state.check_word()

    @property
    def evaluation_is_due(self) -> bool:
        """Whether the word of this step is to be evaluated."""
        every, step = self.run.config.evaluate_every, self.run.state.step
        return _is_due(step, every) or (bool(every) and step == self.run.config.total_steps)

    @property
    def previews_are_due(self) -> bool:
        """Whether previews are to be drawn after this step; those of the last step come later."""
        due = _is_due(self.run.state.step, self.run.config.preview_every)
        return self.run.state.unfinished and (due or "preview" in self._requested)

    def on_train_begin(self, evaluation: EvaluationLoss | None) -> None:
        """Save the first state of a new run, and log the evaluation of its word."""
        run = self.run
        # every run of a pack has this step, so all can resume from a common one
        checkpoint.save(run.folder.path, run.state, run.setup.sources)
        if evaluation is not None:
            self._log(0, self._evaluated(evaluation))

    def on_step(
        self, metrics: StepMetrics, seconds: float, evaluation: EvaluationLoss | None, words: int
    ) -> None:
        """Log the step, which so many `words` took together; stop if the loss has settled."""
        run, step = self.run, self.run.state.step
        self.seconds += seconds
        numbers = {
            "loss": metrics.loss,
            "lr": metrics.lr,
            "norm": metrics.norm,
            "grad": metrics.grad,
            "seconds": round(seconds, 4),
        }
        if words > 1:
            numbers["words"] = words
        if evaluation is not None:
            numbers |= self._evaluated(evaluation)
        self._log(step, numbers)
        if _is_due(step, run.config.save_every) or "save" in self._requested:
            run.folder.keep_copies(run.concepts(), step, run.config.keep_last)

    def on_step_end(self) -> None:
        """Save, if due. This comes last: a run that is killed before it repeats the step."""
        run = self.run
        due = _is_due(run.state.step, run.config.checkpoint_every) or "save" in self._requested
        if due or not run.state.unfinished:
            self.save()

    def save(self) -> None:
        """Save the state and the current word."""
        run = self.run
        checkpoint.save(run.folder.path, run.state, run.setup.sources)
        run.folder.write_concepts(run.concepts())

    @property
    def due(self) -> previews.Due:
        """The current word, whose previews are due."""
        run = self.run
        word, *also = run.concepts()
        others = [*(named.concept for named in run.planned.others), *also]
        return previews.Due(word, run.config, run.folder, run.state.step, others)

    def write_previews(self, due: previews.Due, drawn: previews.Drawn) -> None:
        """Write the curves, and what was drawn for `due`."""
        self.draw_curves()
        with self._note_if_it_fails("the previews were not all drawn"):
            previews.write(due, drawn.pictures)
            for number, picture in drawn.pictures.items():
                self._track(methodcaller("picture", due.step, f"preview {number}", picture))
            if drawn.error is not None:
                raise drawn.error

    def draw_curves(self) -> None:
        """Draw the curves of the log so far."""
        run = self.run
        with self._note_if_it_fails("the curves were not drawn"):
            title = f"{run.config.called} on {public(run.config.base)}"
            run.folder.files.write(CURVES, charts.curves(run.folder.read_log(), title))

    def _log(self, step: int, numbers: Mapping[str, float]) -> None:
        self.run.folder.append_log({"step": step, **numbers})
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
                called = self.run.config.called
                why = reason(error).rstrip(".")
                self._note(f"{called}: {loss}: {why}. The word is not affected.")

    def _evaluated(self, evaluation: EvaluationLoss) -> Mapping[str, float]:
        """Keep the best word, and stop the run if the loss has settled. Returns what to log."""
        run, config = self.run, self.run.config
        evaluations = run.state.evaluations
        if evaluations.add(evaluation, run.state.word()):
            run.folder.write_best(run.concepts())
        settled = config.steps is AUTO and evaluations.plateau(config.patience)
        if settled and run.state.step >= run.far:
            run.state.stopped = f"{settled}; the word of step {evaluations.best_step} is the best"
        warning = evaluations.overfitting()
        if warning and "overfitting" not in self._reported:
            self._reported.add("overfitting")
            self._note(f"{config.called}: {warning}")
        values = {"evaluation": evaluation.loss}
        if evaluation.held_out is not None:
            values["held_out"] = evaluation.held_out
        return values


def _is_due(step: int, every: int) -> bool:
    """Whether this step is a multiple of `every`; with 0, no step is."""
    return bool(every) and step % every == 0
