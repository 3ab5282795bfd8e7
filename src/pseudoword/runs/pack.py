"""The words of a pack: each is set up when it enters, and finished when it leaves."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pseudoword.errors import PseudowordError, StorageError
from pseudoword.models.family import Family
from pseudoword.progress import Ending
from pseudoword.runs import checkpoint, previews, requests
from pseudoword.runs.active_run import ActiveRun
from pseudoword.runs.finish import Trained, finish
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.interrupt import Interrupt, StoppedAtOnce, stopped, stopped_at_once
from pseudoword.runs.planned import Options, PlannedRun
from pseudoword.runs.run import Run, all_prompts, begin, evaluate, measure, resume, soonest
from pseudoword.runs.setup import Setup, set_up
from pseudoword.runs.tally import Tally
from pseudoword.runs.time_plan import TimedProgress, last_step
from pseudoword.text import listed
from pseudoword.training import encoded_prompts
from pseudoword.training.early_stopping import EvaluationLoss
from pseudoword.training.encoded_prompts import PromptsOfWord
from pseudoword.training.loop import Loop, Step
from pseudoword.training.state import TrainState

T = TypeVar("T", Setup, Run)
R = TypeVar("R")


More = Callable[[int], Sequence[PlannedRun]]
"""Gives further concepts, at most so many as there is room for; none if there are none now."""


class Pack:
    """Concepts in training, and those that wait for room.

    The first ones enter together, and the others when some have left.
    """

    def __init__(
        self,
        family: Family,
        planned: Sequence[PlannedRun],
        size: int,
        tally: Tally,
        options: Options,
        progress: TimedProgress,
        more: More,
    ) -> None:
        self._family, self._planned, self._size, self._tally = family, [*planned], size, tally
        self._options, self._progress, self._more = options, progress, more
        self._signals = Interrupt(progress.note)
        self._asked = {one.folder.path for one in planned}
        self._waiting, self._ready = [*planned], list[Setup]()
        self._active: dict[TrainState, ActiveRun] = {}
        self._steps_left_with = 0
        self._steps_in_all = sum(one.config.total_steps for one in planned)
        self._trained: dict[Path, Trained] = {}

    def learn(self) -> dict[Path, Trained]:
        """Train all concepts to the end.

        Returns:
            Folder -> result, of those of the beginning that have left with a word: of a queue, more
            and more join for weeks.

        Raises:
            Interrupted: a signal asked for it; the state of all in training is saved.
            StoppedAtOnce: a second signal came.
        """
        try:
            with self._signals, self._closed_at_the_end():
                loop = Loop(self._family, self._size, self._progress.note)
                while states := self._fill(loop.size):
                    self._after(loop.step(states))
                    self._stop_if_told()
        except StoppedAtOnce as stop:
            raise stopped_at_once(self._kept(), stop.exit_code - 128) from None
        return self._trained

    @contextmanager
    def _closed_at_the_end(self) -> Iterator[None]:
        """At the end, close the logs, and unlock the folders."""
        try:
            yield
        finally:
            encoded_prompts.forget(self._family)
            with ExitStack() as stack:
                for planned in self._planned:
                    stack.push(planned.lock)
                for active in self._active.values():
                    stack.callback(active.close)

    def _fill(self, size: int) -> list[TrainState]:
        """Let concepts enter until so many are in training, or there are no others now.

        Returns:
            The states of those in training; none when all have left.
        """
        while (room := size - len(self._active)) > 0 and self._some_are_ready(room):
            entering, self._ready = self._ready[:room], self._ready[room:]
            self._enter(entering)
            self._stop_if_told()  # the first step of a large pack takes long, too
        return [*self._active]

    def _some_are_ready(self, room: int) -> bool:
        """Whether concepts are ready to enter; the next ones are set up if there is none."""
        while not self._ready:
            if not self._waiting:
                self._waiting = self._ask_for_more(room)
            if not self._waiting:
                return False
            some, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            self._ready = self._set_up(some)
        return True

    def _ask_for_more(self, room: int) -> list[PlannedRun]:
        more = [*self._more(room)]
        self._planned += more
        self._steps_in_all += sum(one.config.total_steps for one in more)
        return more

    def _after(self, step: Step) -> None:
        """Do what is due after a step; concepts that are finished leave."""
        before = len(self._active)
        asked = [
            active
            for active in self._active.values()
            if requests.take_one(active.run.folder.path, "stop")
        ]
        for metrics in step.metrics:
            self._active[metrics.state].on_rows()
        stepped = [(self._active[m.state], m) for m in step.metrics if not m.state.failure]
        due = [active for active, _ in stepped if active.evaluation_is_due]
        evaluations = self._evaluate(due)
        stepped = [(active, metrics) for active, metrics in stepped if self._is_active(active)]
        for active, metrics in stepped:
            evaluation = evaluations.get(active.run.state)
            active.on_step(metrics, step.seconds, evaluation, len(step.metrics))
        runs = [active for active, _ in stepped]
        if shown := [active for active in runs if active.previews_are_due]:
            self._draw(shown)
            self._show_phase()
        for active in runs:
            active.on_step_end()
        done = self._steps_left_with + sum(state.step for state in self._active)
        if losses := [metrics.loss for metrics in step.metrics]:
            mean = sum(losses) / len(losses)
            self._progress.advance(done, self._steps_in_all, f"loss {mean:.4f}")
        self._leave_if_finished()
        self._let_go(asked)
        if 0 < len(self._active) < before:
            self._show_phase()

    def _stop_if_told(self) -> None:
        """If a signal asked for it, save the state of all concepts in training.

        Raises:
            Interrupted: when that is done.
        """
        if (signum := self._signals.signum) is None:
            return
        saved = [self._save(active) for active in self._fit_to_save(self._active.values())]
        tally = self._tally
        # Of several words there is more to do, such as their sheet.
        late = tally.ended == tally.total == 1 and not (tally.failures or tally.stopped)
        raise stopped([*tally.stopped, *saved], signum, late=late)

    def _let_go(self, asked: Sequence[ActiveRun]) -> None:
        """Save the concepts that were asked to stop, and let them leave."""
        for active in self._fit_to_save(filter(self._is_active, asked)):
            with active.run.planned.lock, closing(active):
                saved = self._save(active)
            self._remove(active)
            self._end(active.run.planned, "stopped", saved)

    def _fit_to_save(self, some: Iterable[ActiveRun]) -> list[ActiveRun]:
        """Those whose words can be saved; the others have failed, and leave."""
        runs = [*some]
        for active in runs:
            active.run.state.check_word()
        self._leave_if_finished()
        return [active for active in runs if self._is_active(active)]

    @staticmethod
    def _save(active: ActiveRun) -> str:
        """Save the state and the current word. Returns a text that says where."""
        active.save()
        active.draw_curves()
        return _place(active, active.run.state.step)

    def _kept(self) -> list[str]:
        """Texts that say what was saved before of the concepts in training, and where."""
        active = [(one, checkpoint.steps(one.run.folder.path)) for one in self._active.values()]
        return [_place(one, steps[-1]) for one, steps in active if any(steps)]

    def _leave_if_finished(self) -> None:
        """Draw and finish the concepts that have no step left, and let them leave."""
        ready = [active for active in self._active.values() if not active.run.state.unfinished]
        self._draw([active for active in ready if not active.run.state.failure])
        for active in ready:
            self._leave(active)

    def _set_up(self, some: Sequence[PlannedRun]) -> list[Setup]:
        """Encode the pictures of several concepts, so that the VAE is loaded once for them."""
        setups = []
        for planned in some:
            self._stop_if_told()  # to encode the pictures of many words takes minutes
            if requests.take_one(planned.folder.path, "stop"):
                self._forget(planned, "stopped", "")
                continue
            with self._blamed_on(planned):
                planned.claim()
                setups.append(set_up(self._family, planned, restart=self._options.restart))
        self._family.release_vae()
        return setups

    def _enter(self, setups: Sequence[Setup]) -> None:
        """Begin or resume concepts, together: those that can."""
        runs = self._resume(self._begin(self._clear(setups)))
        self._encode_prompts()
        if runs:
            self._show_phase()
        self._evaluate_new([active for active in runs if not active.run.state.step])
        self._leave_if_finished()  # those whose last step was saved before

    def _clear(self, setups: Sequence[Setup]) -> list[Setup]:
        """Check the folders again, as setting up may have taken minutes; empty those to restart."""
        restart, overwrite = self._options.restart, self._options.overwrite
        cleared = []
        for setup in setups:
            with self._blamed_on(setup.planned):
                setup.folder.check(setup.config, restart=restart, overwrite=overwrite)
                if restart:
                    setup.folder.clear()
                cleared.append(setup)
        return cleared

    def _begin(self, setups: Sequence[Setup]) -> list[Run]:
        """Measure what the settings leave to be measured, and make the states before step 1."""
        possible, begun = [], []
        for setup in setups:
            with self._blamed_on(setup.planned):
                self._tell_soonest(setup.folder, soonest(setup))
                possible.append(setup)
        for _, setup in self._together(
            possible, lambda some: measure(self._family, some, self._progress)
        ):
            with self._blamed_on(setup.planned):
                run = begin(self._family, setup)
                self._tell_soonest(run.folder, last_step(run.config, run.far))
                begun.append(run)
        return begun

    def _tell_soonest(self, folder: RunFolder, step: int) -> None:
        """Tell the step after which a word ends, or may end first."""
        self._progress.soonest = step  # used where there is one run only
        if self._tally.each is not None:
            self._tally.each.soonest(folder.path, step)

    def _resume(self, begun: Sequence[Run]) -> list[ActiveRun]:
        """Load the checkpoints of those that have one, and let all take part in training."""
        steps = checkpoint.resume_steps([run.folder.path for run in begun])
        runs = []
        for run, step in zip(begun, steps, strict=True):
            with self._blamed_on(run.planned):
                resume(run, step, allow_changes=self._options.allow_changes)
                self._active[run.state] = ActiveRun(run)
                runs.append(self._active[run.state])
        return runs

    def _encode_prompts(self) -> None:
        """Encode the prompts of all concepts now, if all go in after the text encoders.

        A concept that enters later may need these again: then they are loaded again.
        """
        words = self._all_prompts()
        if not words:
            encoded_prompts.forget(self._family)
            return
        self._progress.phase(f"encoding prompts of {self._tokens}")
        if encoded_prompts.keep(self._family, words, self._progress.advance):
            previews.encode(self._family, [active.due for active in self._active.values()])
        encoded_prompts.release(self._family)

    def _all_prompts(self) -> list[PromptsOfWord]:
        """The prompts of all concepts in training; none if they cannot be encoded beforehand."""
        if not all(planned.config.output_embedding for planned in self._planned):
            return []
        words = []
        for active in self._active.values():
            own = all_prompts(active.run)
            if not own:
                return []
            words += own
        return words

    def _evaluate_new(self, runs: Sequence[ActiveRun]) -> None:
        """Evaluate concepts before their first step, those that are evaluated at all."""
        evaluated = [active for active in runs if active.run.config.evaluate_every]
        evaluations = self._evaluate(evaluated)
        for active in runs:
            evaluation = evaluations.get(active.run.state)
            if evaluation or not active.run.config.evaluate_every:
                with self._blamed_on(active.run.planned):
                    active.on_train_begin(evaluation)

    def _evaluate(self, runs: Sequence[ActiveRun]) -> dict[TrainState, EvaluationLoss]:
        """Evaluate the current words."""
        asked = [active.run for active in runs]
        found = self._together(asked, lambda runs: evaluate(self._family, runs))
        return {run.state: evaluation for run, evaluation in found}

    def _together(
        self, asked: Sequence[T], do: Callable[[Sequence[T]], Sequence[R]]
    ) -> list[tuple[T, R]]:
        """Do something for several concepts at once.

        If that fails, it is done for one after the other, so that only those are blamed that cause
        it. Those are left out of the result.
        """
        if len(asked) > 1:
            with suppress(PseudowordError, RuntimeError, MemoryError):
                return list(zip(asked, do(asked), strict=True))
        results = []
        for one in asked:
            with self._blamed_on(one.planned):
                results += [(one, result) for result in do([one])]
        return results

    def _draw(self, runs: Sequence[ActiveRun]) -> None:
        """Draw and write the previews of several concepts, and their curves."""
        due = [active.due for active in runs]
        drawn = previews.draw(self._family, due, self._progress)
        for active, word, pictures in zip(runs, due, drawn, strict=True):
            active.write_previews(word, pictures)

    def _leave(self, active: ActiveRun) -> None:
        """Finish a concept. If it failed in training, its last good word is written."""
        run, state, planned = active.run, active.run.state, active.run.planned
        self._remove(active)
        with planned.lock, closing(active):
            if state.good:
                trained = finish(self._family, run, active.seconds)
                if trained.folder in self._asked:
                    self._trained[trained.folder] = trained
            requests.take(run.folder.path)  # they came too late
        if state.failure:
            self._end(planned, "failed", state.failure)
        else:
            self._end(planned, "done")

    @contextmanager
    def _blamed_on(self, planned: PlannedRun) -> Iterator[None]:
        """With `keep_going`, a concept that cannot begin has failed, and stops no other one."""
        try:
            yield
        except StorageError:
            raise  # the others would meet it, too
        except PseudowordError as error:
            if not self._options.keep_going:
                raise
            for active in list(self._active.values()):
                if active.run.planned is planned:
                    active.close()
                    del self._active[active.run.state]
            self._forget(planned, "failed", str(error))

    def _remove(self, active: ActiveRun) -> None:
        """Let a concept leave the training."""
        self._steps_left_with += active.run.config.total_steps
        del self._active[active.run.state]

    def _forget(self, planned: PlannedRun, how: Ending, sentence: str) -> None:
        """End a concept that has not entered."""
        self._steps_left_with += planned.config.total_steps
        planned.release()
        self._end(planned, how, sentence)

    def _end(self, planned: PlannedRun, how: Ending, sentence: str = "") -> None:
        """Count a concept that has left, and tell it if there are others."""
        self._planned = [one for one in self._planned if one is not planned]
        tally, called = self._tally, planned.config.called
        tally.end(planned.config, how, sentence)
        if tally.total > 1 and tally.each is None:
            happened = {"done": "is ready", "stopped": "was stopped"}.get(
                how, f"failed: {sentence.removeprefix(f'{called}: ')}"
            )
            self._progress.note(
                f"{tally.words_ended} of {tally.words} words done: {called} {happened}"
            )

    def _is_active(self, active: ActiveRun) -> bool:
        """Whether it is still in training."""
        return active.run.state in self._active

    @property
    def _tokens(self) -> str:
        """The names of all that are in training."""
        return listed(active.run.config.called for active in self._active.values())

    def _show_phase(self) -> None:
        self._progress.phase(f"learning {self._tokens}")


def _place(active: ActiveRun, step: int) -> str:
    """Where a concept is saved, and at which step."""
    return f"{active.run.config.called} at step {step} in {active.run.folder.path}"
