"""Run the training of a pack: from settings to finished run folders."""

import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pseudoword import files, formats, imports
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice, TrainConfig
from pseudoword.config.fields import AUTO
from pseudoword.data import captions, picture_files
from pseudoword.errors import SettingsError, TrainingError
from pseudoword.methods import norms
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.runs import checkpoint, checks, trackers
from pseudoword.runs.callbacks import RunCallbacks
from pseudoword.runs.failures import explain_failures
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.interrupt import Interrupt, Interrupted
from pseudoword.runs.setup import Run, begin, set_up
from pseudoword.text import listed
from pseudoword.training import loss
from pseudoword.training.batches import batch
from pseudoword.training.loop import train

SHARED = (
    *BaseChoice.model_fields,
    *("gradient_checkpointing", "deterministic", "batch", "resolution"),
)
"""Settings that all concepts of a pack must share, because they share each batch."""

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


@dataclass(frozen=True)
class _Task:
    """One concept to learn, before the model is loaded."""

    config: TrainConfig
    folder: RunFolder
    paths: Sequence[Path]
    templates: Sequence[str]


def learn(
    configs: Sequence[TrainConfig],
    progress: Progress,
    restart: bool = False,
    allow_changes: bool = False,
    overwrite: bool = False,
    family: Family | None = None,
) -> list[Trained]:
    """Train a pack of concepts to the end, each in a folder of its own.

    Args:
        configs: settings of each concept.
        progress: shows what is going on.
        restart: remove the files of runs in the folders, and begin again.
        allow_changes: resume runs although their settings or pictures have changed.
        overwrite: replace files in the folders that no run has written.
        family: the base model of `configs`, if it is loaded already.

    Raises:
        PseudowordError: anything the user can put right; see the subclasses. When a concept fails,
            the others are finished first. The last good word of each is on disk; notes on the error
            say where.
        Interrupted: on Ctrl-C or SIGTERM, after the state has been saved.
    """
    _check_pack(configs)
    folders = [RunFolder(config.folder) for config in configs]
    with ExitStack() as stack:
        stack.enter_context(explain_failures(configs, folders))
        tasks = [_check(config, progress, restart, overwrite) for config in configs]
        for folder in folders:
            stack.enter_context(files.lock_folder(folder.path))
            folder.recover()
        done = {
            task.folder.path: _finished_before(task.folder, progress)
            for task in tasks
            if not restart and _nothing_left(task.folder, task.config, allow_changes)
        }
        todo = [task for task in tasks if task.folder.path not in done]
        if todo:
            done |= _learn(todo, progress, restart, allow_changes, overwrite, family)
        return [done[folder.path] for folder in folders]


def check(config: TrainConfig, progress: Progress, overwrite: bool = False) -> None:
    """Check all of a run that needs no model, as `learn` does before it begins.

    Raises:
        PseudowordError: a picture, a setting or the folder of the run cannot be used.
    """
    _check(config, progress, False, overwrite)


def finished(config: TrainConfig, allow_changes: bool = False) -> Trained | None:
    """The result of a run that has nothing left to do; None if it has.

    Raises:
        RunFolderError: the folder is in use, or holds a run with other settings.
    """
    folder = RunFolder(config.folder)
    if not folder.config.exists():  # so that nothing is made where there is no run
        return None
    with files.lock_folder(folder.path):
        folder.recover()
        return _result(folder) if _nothing_left(folder, config, allow_changes) else None


def _check(config: TrainConfig, progress: Progress, restart: bool, overwrite: bool) -> _Task:
    trackers.check(config.log)
    folder = RunFolder(config.folder)
    paths = picture_files.find(config.pictures, progress.note)
    task = _Task(config, folder, paths, captions.templates(config.template))
    checks.before_loading(task.config, task.paths, task.templates, progress.note)
    task.folder.check(task.config, restart=restart, overwrite=overwrite)
    return task


def _learn(
    todo: Sequence[_Task],
    progress: Progress,
    restart: bool,
    allow_changes: bool,
    overwrite: bool,
    family: Family | None,
) -> dict[Path, Trained]:
    """Train the concepts that are not finished: folder -> result."""
    config = todo[0].config
    if family is None:
        progress.phase(f"loading {config.base}")
        imports.import_diffusers()
        family = base_model.load(config, checkpointing=config.gradient_checkpointing)
    for task in todo:
        checks.against_model(family, task.config, task.templates, progress.note, len(todo))
    setups = [
        set_up(family, task.config, task.folder, task.paths, task.templates, progress)
        for task in todo
    ]
    family.release_vae()
    for task in todo:
        task.folder.check(
            task.config, restart=restart, overwrite=overwrite
        )  # again: set_up took minutes
        if restart:
            task.folder.clear()
    runs = [begin(family, setup, progress) for setup in setups]
    _resume(runs, progress, allow_changes)
    seconds = _train(family, runs, progress)
    trained = {
        run.folder.path: _finish(family, run, seconds, progress) for run in runs if run.state.good
    }
    failures = [run.state.failure for run in runs if run.state.failure]
    if failures:
        raise TrainingError("\n".join(failures))
    return trained


def _check_pack(configs: Sequence[TrainConfig]) -> None:
    for name in SHARED:
        if len({getattr(config, name) for config in configs}) > 1:
            raise SettingsError(f"the concepts of a pack must share one {name}")
    if len({config.folder.resolve() for config in configs}) < len(configs):
        raise SettingsError("the concepts of a pack need folders of their own: set out for each")


def _nothing_left(folder: RunFolder, config: TrainConfig, allow_changes: bool) -> bool:
    """Whether the run is finished and not to be extended; reopens it if it is."""
    if not folder.is_finished(config, allow_changes):
        return False
    return not folder.reopen(config)


def _resume(runs: Sequence[Run], progress: Progress, allow_changes: bool) -> None:
    """Load the last checkpoint of each run, if it has one."""
    steps = checkpoint.resume_steps([run.folder.path for run in runs])
    for run, step in zip(runs, steps, strict=True):
        if step:
            checkpoint.load(run.folder.path, run.state, step, run.setup.sources, allow_changes)
            progress.note(f"resuming {run.config.token} from step {step}")
            for change in run.folder.changed_settings(run.config):
                progress.note(f"from here on, {change}")
        run.folder.begin(run.config, step)  # after everything that may raise an error


def _train(family: Family, runs: Sequence[Run], progress: Progress) -> float:
    """Run the training loop with the callbacks of each run.

    Returns:
        The seconds spent in steps.

    Raises:
        Interrupted: by a signal or a request to stop, after the state has been saved.
    """
    total = max(run.config.total_steps for run in runs)
    seconds = 0.0
    with Interrupt() as interrupt, ExitStack() as stack:
        callbacks = {
            id(run.state): stack.enter_context(RunCallbacks(family, run, progress)) for run in runs
        }
        phase = f"learning {listed(run.config.token for run in runs)}"
        progress.phase(phase)
        for each in callbacks.values():
            each.on_train_begin()
        for step in train(family, [run.state for run in runs]):
            seconds += step.seconds
            previewed = [
                callbacks[id(metrics.state)].on_step_end(step.step, metrics, step.seconds)
                for metrics in step.metrics
            ]
            if any(previewed):
                progress.phase(phase)
            mean = sum(metrics.loss for metrics in step.metrics) / len(step.metrics)
            progress.advance(step.step, total, f"loss {mean:.4f}")
            requested = any(each.stop_requested for each in callbacks.values())
            if interrupt.signum is not None or requested:
                for each in callbacks.values():
                    each.save()
                    each.draw_curves()
                raise Interrupted(_where(runs), interrupt.signum or signal.SIGTERM)
        for run in runs:
            if not run.state.failure:
                callbacks[id(run.state)].draw()
    return seconds


def _where(runs: Sequence[Run]) -> str:
    saved = [f"{r.config.token} at step {r.state.step} in {r.folder.path}" for r in runs]
    return f"stopped. Saved {', '.join(saved)}. Run the same command again to go on."


def _finish(family: Family, run: Run, seconds: float, progress: Progress) -> Trained:
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


def _finished_before(folder: RunFolder, progress: Progress) -> Trained:
    progress.note(
        f"{folder.path} is finished already; add --extend to train it further, or --restart to "
        "learn it again"
    )
    return _result(folder)


def _result(folder: RunFolder) -> Trained:
    """The result of a run that was finished before."""
    return Trained(formats.read(folder.concept), folder.path, float("nan"), 0.0)
