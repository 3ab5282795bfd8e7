"""What happens beside training: after its steps a concept is measured, logged, shown and saved."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

from PIL import Image

from pseudoword import charts, checkpoint, files, formats, previews
from pseudoword.families.base import Family
from pseudoword.preparing import Run
from pseudoword.progress import Progress
from pseudoword.schedules import AUTO
from pseudoword.text import public
from pseudoword.trackers import TRACKERS, Tracker
from pseudoword.training import Seen


class Watcher:
    """Watches one run. Nothing here draws a random number that training would miss."""

    def __init__(self, family: Family, run: Run, progress: Progress) -> None:
        self._family, self._run, self._progress = family, run, progress
        self._open = ExitStack()
        self._trackers: list[Tracker] = []
        self._warned = False

    def __enter__(self) -> Self:
        before = self._run.folder.read_log()
        for name in self._run.config.log:
            tracker = TRACKERS[name](self._run.folder.path, self._run.config, before)
            self._open.callback(tracker.close)
            self._trackers.append(tracker)
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def before(self) -> None:
        """Save the start, and measure the word there, unless the run is under way."""
        run = self._run
        if run.member.step:
            return
        checkpoint.save(run.folder.path, run.member, run.sources)  # a step the pack has in common
        if run.config.evaluate_every:
            self._log(0, self._evaluate())

    def after(self, step: int, seen: Seen, seconds: float) -> bool:
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
        last = not run.member.unfinished
        if config.save_every and step % config.save_every == 0:
            run.folder.keep_copy(run.concept(), step, config.keep_last)
        shown = bool(config.preview_every) and step % config.preview_every == 0 and not last
        if shown:
            self.show()
        if last or step % config.checkpoint_every == 0:
            self.save()
        return shown

    def save(self) -> None:
        """Save the state, and the word as it is now."""
        run = self._run
        checkpoint.save(run.folder.path, run.member, run.sources)
        formats.write(run.concept(), run.folder.concept)

    def show(self) -> None:
        """Draw the previews and the curves."""
        run, config = self._run, self._run.config
        self.draw_curves()
        paths = previews.draw(
            self._family,
            run.concept(),
            config,
            run.folder.previews,
            run.member.step,
            self._progress,
        )
        for i, path in enumerate(paths if self._trackers else (), 1):
            with Image.open(path) as picture:
                for tracker in self._trackers:
                    tracker.picture(run.member.step, f"preview {i}", picture.convert("RGB"))

    def draw_curves(self) -> None:
        """Draw the curves of the log so far."""
        run = self._run
        title = f"{run.config.token} on {public(run.config.base)}"
        files.write_whole(run.folder.curves, charts.curves(run.folder.read_log(), title))

    def _log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.folder.append_log({"step": step, **numbers})
        for tracker in self._trackers:
            tracker.log(step, numbers)

    def _evaluate(self) -> Mapping[str, float]:
        run, config = self._run, self._run.config
        found = run.evaluate(self._family)
        record = run.member.record
        if record.add(found, run.member.word()):
            formats.write(run.concept(), run.folder.best)
        if config.steps == AUTO and (reason := record.settled(config.patience)):
            run.member.stopped = f"{reason}; the word of step {record.best_step} is the best"
        warning = record.overfitting()
        if warning and not self._warned:
            self._warned = True
            self._progress.note(f"{config.token}: {warning}")
        values = {"evaluation": found.loss}
        return values if found.held_out is None else {**values, "held_out": found.held_out}
