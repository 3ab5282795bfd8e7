"""The words of a pack: each is set up when it enters, and finished when it leaves."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NoReturn, Self, TypeVar

from pseudoword import files
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.fields import AUTO
from pseudoword.errors import PseudowordError, StorageError
from pseudoword.formats.keys import is_output
from pseudoword.methods import norms
from pseudoword.models.family import Family
from pseudoword.progress import EachWord, Ending, Progress
from pseudoword.runs import checkpoint, previews, requests
from pseudoword.runs.callbacks import RunCallbacks
from pseudoword.runs.failures import saved_word
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.interrupt import Interrupted
from pseudoword.runs.setup import Run, Setup, begin, evaluate, measure, prompts_of_run, set_up
from pseudoword.text import listed
from pseudoword.training import encoded_prompts, loss, nested_rows
from pseudoword.training.batches import batch
from pseudoword.training.early_stopping import EvaluationLoss
from pseudoword.training.encoded_prompts import PromptsOfWord
from pseudoword.training.loop import Step
from pseudoword.training.state import TrainState

T = TypeVar("T")
R = TypeVar("R")

NO_EFFECT = 1e-6
"""A word that changes the prediction by less than this part has learned nothing."""

TOO_LONG = 100
"""A word whose vectors are this many times longer than those of the vocabulary is not usable."""


@dataclass(frozen=True)
class Trained:
    """A finished run."""

    concept: Concept
    folder: Path
    effect: float
    """how much the word changes the model's prediction since its initialisation, relative to it"""
    seconds: float
    """spent in training steps by this call; 0 if the run was finished before"""
    stopped: str | None = None
    """why early stopping ended it, if it did"""


@dataclass
class Task:
    """One concept to learn, before it is set up."""

    config: TrainConfig
    folder: RunFolder
    paths: Sequence[Path]
    templates: Sequence[str]
    progress: Progress
    lock: ExitStack = field(default_factory=ExitStack)
    """unlocks the folder"""
    claimed: bool = False

    def claim(self) -> None:
        """Lock the folder, and mend what a killed process left in it, if that is not done yet.

        Raises:
            RunFolderError: another run has locked it.
        """
        if not self.claimed:
            self.lock.enter_context(files.lock_folder(self.folder.path))
            self.claimed = True
            self.folder.recover()

    def release(self) -> None:
        """Unlock the folder."""
        self.lock.close()
        self.claimed = False


@dataclass(frozen=True)
class Options:
    """How to treat what lies in the folders of the runs, and words that fail."""

    restart: bool = False
    """remove the files of the runs, and begin again"""
    allow_changes: bool = False
    """resume runs although their settings or pictures have changed"""
    overwrite: bool = False
    """replace files in the folders that no run has written"""
    keep_going: bool = False
    """learn the other words where one cannot begin"""


@dataclass
class Words:
    """How far all words are that are learned by one call, in this pack and in others."""

    total: int
    done: int
    """ready, stopped or failed"""
    each: EachWord | None = None
    """is told of each"""
    failures: dict[str, str] = field(default_factory=dict)
    """token -> why it could not be learned to the end"""
    stopped: dict[str, str] = field(default_factory=dict)
    """token -> where it is saved, of those that were asked to stop; empty if it had not begun"""

    def end(self, config: TrainConfig, how: Ending, sentence: str) -> None:
        """Count a word that is ready, was stopped or has failed, and tell it."""
        self.done += 1
        token = config.token
        if how == "failed":
            self.failures[token] = sentence
            if saved := saved_word(RunFolder(config.folder)):
                sentence += f"\n{saved}"
        elif how == "stopped":
            self.stopped[token] = sentence
        if self.each is not None:
            self.each.ended(config.folder, how, sentence)


@dataclass
class Member:
    """A concept in training."""

    task: Task
    run: Run
    callbacks: RunCallbacks
    stack: ExitStack
    """closes its callbacks"""
    seconds: float = 0.0
    """spent in its steps"""


More = Callable[[int], Sequence[Task]]
"""Gives further concepts, at most so many as there is room for; none if there are none now."""


def no_more(_room: int) -> Sequence[Task]:
    """There are no other concepts than those of the beginning."""
    return ()


class Pack:
    """Concepts in training, and those that wait for room.

    The first ones enter together, and the others when some have left.
    """

    def __init__(
        self,
        family: Family,
        tasks: Sequence[Task],
        size: int,
        words: Words,
        options: Options,
        progress: Progress,
        more: More = no_more,
    ) -> None:
        self._family, self._tasks, self._size, self._words = family, [*tasks], size, words
        self._options, self._progress, self._more = options, progress, more
        self._members: dict[int, Member] = {}
        self._steps_left_with = 0
        self.trained: dict[Path, Trained] = {}
        """folder -> result, of those that have left with a word"""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the callbacks, and unlock the folders."""
        encoded_prompts.forget(self._family)
        with ExitStack() as stack:
            for task in self._tasks:
                stack.push(task.lock)
            for member in self._members.values():
                stack.push(member.stack)

    def states(self) -> Iterator[TrainState | None]:
        """Set up the concepts, those together for which there is room when they are asked for.

        None: all others are in training, and perhaps there will be more.
        """
        waiting = [*self._tasks]
        while True:
            if not waiting:
                waiting = self._ask_for_more()
            if waiting:
                set_up = iter(self._set_up(waiting[: self._size]))
                del waiting[: self._size]
                while group := list(islice(set_up, self._room)):
                    for member in self._enter(group):
                        yield member.run.state
            elif self._members:
                yield None
            else:
                return

    @property
    def _room(self) -> int:
        """How many concepts enter together: as many as have left, at least the one asked for."""
        return max(self._size - len(self._members), 1)

    def _ask_for_more(self) -> list[Task]:
        tasks = [*self._more(self._room)]
        self._tasks += tasks
        return tasks

    def after(self, step: Step) -> None:
        """Run the callbacks of a step; concepts that are finished leave."""
        before = len(self._members)
        members = [self._members[id(metrics.state)] for metrics in step.metrics]
        evaluations = self._evaluate([m for m in members if m.callbacks.evaluation_is_due])
        members = [member for member in members if id(member.run.state) in self._members]
        metrics_of = {id(metrics.state): metrics for metrics in step.metrics}
        for member in members:
            member.seconds += step.seconds
            evaluation = evaluations.get(member.run.folder.path)
            metrics = metrics_of[id(member.run.state)]
            member.callbacks.on_step(metrics, step.seconds, evaluation)
        if shown := [member for member in members if member.callbacks.previews_are_due]:
            self._draw(shown)
            self._show_phase()
        for member in members:
            member.callbacks.on_step_end()
        done = self._steps_left_with + sum(m.run.state.step for m in self._members.values())
        total = sum(task.config.total_steps for task in self._tasks)
        mean = sum(metrics.loss for metrics in step.metrics) / len(step.metrics)
        self._progress.advance(done, total, f"loss {mean:.4f}")
        self.leave_if_finished()
        self._leave_if_asked()
        if 0 < len(self._members) < before:
            self._show_phase()

    def stop(self, signum: int) -> NoReturn:
        """Save the state of all concepts in training.

        Raises:
            Interrupted: always, when that is done.
        """
        saved = [self._save(member) for member in self._members.values()]
        raise stopped([*self._words.stopped.values(), *saved], signum)

    def _leave_if_asked(self) -> None:
        """Save the concepts that were asked to stop, and let them leave."""
        for member in list(self._members.values()):
            if member.callbacks.stop_requested:
                with member.task.lock, member.stack:
                    saved = self._save(member)
                member.run.state.paused = True
                self._remove(member)
                self._end(member.task, "stopped", saved)

    @staticmethod
    def _save(member: Member) -> str:
        """Save the state and the word of now; where that is."""
        member.callbacks.save()
        member.callbacks.draw_curves()
        run = member.run
        return f"{run.config.token} at step {run.state.step} in {run.folder.path}"

    def leave_if_finished(self) -> None:
        """Draw and finish the concepts that have no step left, and let them leave."""
        ready = [member for member in self._members.values() if not member.run.state.unfinished]
        self._draw([member for member in ready if not member.run.state.failure])
        for member in ready:
            self._leave(member)

    def _set_up(self, tasks: Sequence[Task]) -> list[tuple[Task, Setup]]:
        """Encode the pictures of several concepts, so that the VAE is loaded once for them."""
        setups = []
        for task in tasks:
            if requests.take_one(task.folder.path, "stop"):
                self._forget(task, "stopped", "")
                continue
            with self._blamed_on(task):
                task.claim()
                setup = set_up(
                    self._family,
                    task.config,
                    task.folder,
                    task.paths,
                    task.templates,
                    task.progress,
                    restart=self._options.restart,
                )
                setups.append((task, setup))
        self._family.release_vae()
        return setups

    def _enter(self, setups: Sequence[tuple[Task, Setup]]) -> list[Member]:
        """Begin or resume concepts, together: those that can."""
        options, progress = self._options, self._progress
        checked = []
        for task, setup in setups:
            with self._blamed_on(task):
                task.folder.check(  # again: set_up may have taken minutes
                    task.config, restart=options.restart, overwrite=options.overwrite
                )
                if options.restart:
                    task.folder.clear()
                checked.append((task, setup))
        entered = []
        for task, setup in self._together(
            checked, lambda some: measure(self._family, some, progress)
        ):
            with self._blamed_on(task):
                entered.append((task, begin(self._family, setup, task.progress)))
        steps = checkpoint.resume_steps([run.folder.path for _, run in entered])
        members = []
        for (task, run), step in zip(entered, steps, strict=True):
            with self._blamed_on(task), ExitStack() as stack:
                self._resume(run, step, task.progress)
                callbacks = stack.enter_context(RunCallbacks(run, task.progress))
                members.append(Member(task, run, callbacks, stack.pop_all()))
                self._members[id(run.state)] = members[-1]
        self._encode_prompts()
        if members:
            self._show_phase()
        self._evaluate_new([member for member in members if not member.run.state.step])
        self.leave_if_finished()  # those whose last step was saved before
        return [member for member in members if id(member.run.state) in self._members]

    def _encode_prompts(self) -> None:
        """Encode the prompts of all concepts now, if all go in after the text encoders.

        A concept that enters later may need these again: then they are loaded again.
        """
        members = self._members.values()
        words: list[PromptsOfWord] = []
        if all(task.config.output_embedding for task in self._tasks):
            for state, prompts in [(m.run.state, prompts_of_run(m.run)) for m in members]:
                if prompts is None:  # they change at random
                    words = []
                    break
                lengths = nested_rows.all_lengths(state.word(), state.hyper)
                words += [PromptsOfWord(rows, prompts) for rows in lengths]
        if not words:
            encoded_prompts.forget(self._family)
            return
        tokens = listed(member.run.config.token for member in members)
        self._progress.phase(f"encoding prompts of {tokens}")
        if encoded_prompts.keep(self._family, words, self._progress.advance):
            previews.encode(self._family, [member.callbacks.due for member in members])
        encoded_prompts.release(self._family)

    def _evaluate_new(self, members: Sequence[Member]) -> None:
        """Evaluate concepts before their first step, those that are evaluated at all."""
        for member in members:
            if not member.run.config.evaluate_every:
                member.callbacks.on_train_begin(None)
        evaluations = self._evaluate([m for m in members if m.run.config.evaluate_every])
        for member in members:
            if evaluation := evaluations.get(member.task.folder.path):
                with self._blamed_on(member.task):
                    member.callbacks.on_train_begin(evaluation)

    def _evaluate(self, members: Sequence[Member]) -> dict[Path, EvaluationLoss]:
        """Evaluate the words of now: the folders of the runs, and what was found."""
        asked = [(member.task, member.run) for member in members]
        found = self._together(asked, lambda runs: evaluate(self._family, runs))
        return {task.folder.path: evaluation for task, evaluation in found}

    def _together(
        self, asked: Sequence[tuple[Task, T]], do: Callable[[Sequence[T]], Sequence[R]]
    ) -> list[tuple[Task, R]]:
        """Do something for several concepts at once.

        If that fails, it is done for one after the other, so that only those are blamed that cause
        it. Those are left out of the result.
        """
        tasks = [task for task, _ in asked]
        if len(asked) > 1:
            with suppress(PseudowordError, RuntimeError, MemoryError):
                return list(zip(tasks, do([one for _, one in asked]), strict=True))
        done = []
        for task, one in asked:
            with self._blamed_on(task):
                done += [(task, each) for each in do([one])]
        return done

    def _draw(self, members: Sequence[Member]) -> None:
        """Draw and write the previews of several concepts, and their curves."""
        due = [member.callbacks.due for member in members]
        drawn = previews.draw(self._family, due, self._progress)
        for member, word, pictures in zip(members, due, drawn, strict=True):
            member.callbacks.write_previews(word, pictures)

    def _resume(self, run: Run, step: int, progress: Progress) -> None:
        """Load the checkpoint of `step`, if it is not 0."""
        other: list[str] = []
        if step:
            changed = self._options.allow_changes
            other = checkpoint.load(run.folder.path, run.state, step, run.setup.sources, changed)
            progress.note(f"resuming {run.config.token} from step {step}")
            for change in [*run.folder.changed_settings(run.config), *other]:
                progress.note(f"from here on, {change}")
        run.folder.begin(run.config, step, other)  # after everything that may raise an error

    def _leave(self, member: Member) -> None:
        """Finish a concept. If it failed in training, its last good word is written."""
        run, state, task = member.run, member.run.state, member.task
        self._remove(member)
        with task.lock, member.stack:
            if state.good:
                seconds = member.seconds
                self.trained[run.folder.path] = finish(self._family, run, seconds, task.progress)
        if state.failure:
            self._end(task, "failed", state.failure)
        else:
            self._end(task, "done", state.stopped or f"{run.config.token} is ready.")

    @contextmanager
    def _blamed_on(self, task: Task) -> Iterator[None]:
        """If a concept cannot begin, the others are learned all the same, where that is wanted."""
        try:
            yield
        except StorageError:
            raise  # the others would meet it, too
        except PseudowordError as error:
            if not self._options.keep_going:
                raise
            for member in list(self._members.values()):
                if member.task is task:
                    member.stack.close()
                    member.run.state.failure = str(error)  # so that it takes no further step
                    del self._members[id(member.run.state)]
            self._forget(task, "failed", str(error))

    def _remove(self, member: Member) -> None:
        """A concept is in training no more."""
        self._steps_left_with += member.run.config.total_steps
        del self._members[id(member.run.state)]

    def _forget(self, task: Task, how: Ending, sentence: str) -> None:
        """End a concept that has not entered."""
        self._steps_left_with += task.config.total_steps
        task.release()
        self._end(task, how, sentence)

    def _end(self, task: Task, how: Ending, sentence: str) -> None:
        """Count a concept that has left, and tell it if there are others."""
        words, token = self._words, task.config.token
        words.end(task.config, how, sentence)
        if words.total > 1 and words.each is None:
            happened = {"done": "is ready", "stopped": "was stopped"}.get(
                how, f"failed: {sentence.removeprefix(f'{token}: ')}"
            )
            self._progress.note(f"{words.done} of {words.total} words done: {token} {happened}")

    def _show_phase(self) -> None:
        tokens = listed(member.run.config.token for member in self._members.values())
        self._progress.phase(f"learning {tokens}")


def stopped(saved: Iterable[str], signum: int) -> Interrupted:
    """What is raised when concepts were stopped that are saved at these places."""
    places = ", ".join(place for place in saved if place)
    where = f"Saved {places}. " if places else ""
    return Interrupted(f"stopped. {where}Run the same command again to go on.", signum)


def finish(family: Family, run: Run, seconds: float, progress: Progress) -> Trained:
    """Write the word, check that it has an effect, and mark the run as finished."""
    concept, state, token = run.concept(), run.state, run.config.token
    run.folder.write_concept(concept)
    samples = batch(family, [state.data], state.step)
    effect = loss.effect(family, run.setup.start.rows, concept.vectors, samples)
    if not effect > NO_EFFECT and not state.failure:
        state.failure = (
            f"{token}: the finished word does not change what the model predicts "
            f"(by {effect:.1e} of its size). Train longer, or with a higher --lr."
        )
    _note_long_vectors(run, concept, progress)
    if is_output(concept.vectors):
        progress.note(f"{token}: only pseudoword and OneTrainer use an output embedding")
    if state.method.for_other_tools:
        progress.note(f"{token}: {state.method.for_other_tools}")
    if state.failure is None:
        if state.stopped:
            progress.note(f"{token} stopped at step {state.step}: {state.stopped}")
        elif run.config.steps is AUTO:
            progress.note(f"{token} has not settled by --max-steps {run.config.max_steps}")
        checkpoint.finish(run.folder.path)
    return Trained(concept, run.folder.path, effect, seconds, state.stopped)


def _note_long_vectors(run: Run, concept: Concept, progress: Progress) -> None:
    """Report a word that is too strong beside other words."""
    length = float(norms.mean_norm(concept.vectors))
    usual = max(run.setup.start.usual_norms.values())
    if length > TOO_LONG * usual:
        progress.note(
            f"{concept.token}: its vectors have a norm of {length:.3g}, those of other words "
            f"{usual:.3g}, so it will drown the other words of a prompt. Learn it with --norm "
            "keep, or a lower --lr."
        )
