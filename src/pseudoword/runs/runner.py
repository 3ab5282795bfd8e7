"""Run the training of a pack: from settings to finished run folders."""

import math
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from pseudoword import formats, locks
from pseudoword.config import TrainConfig
from pseudoword.data import examples
from pseudoword.errors import PictureError, PseudowordError, SettingsError, TrainingError
from pseudoword.models.family import Family
from pseudoword.progress import EachWord, OfWord, Once, Progress
from pseudoword.runs import checkpoint, checks
from pseudoword.runs.failures import explain_failures
from pseudoword.runs.finish import Trained
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.interrupt import stopped
from pseudoword.runs.loaded_base import OF_BASE, LoadedBase
from pseudoword.runs.pack import Pack
from pseudoword.runs.planned import USUAL, Options, PlannedRun, plan_run
from pseudoword.runs.tally import Tally
from pseudoword.runs.time_plan import TimedProgress
from pseudoword.text import command
from pseudoword.training.pack_size import MOST, words_at_once

SHARED = (*OF_BASE, "deterministic", "graphs", "batch", "resolution")
"""Settings that all concepts of a pack share, because they share each batch."""


def learn(
    configs: Sequence[TrainConfig],
    progress: Progress,
    options: Options = USUAL,
    family: Family | None = None,
    size: int | None = None,
    more: Callable[[int], Sequence[TrainConfig]] | None = None,
    each: EachWord | None = None,
) -> list[Trained]:
    """Train concepts to the end, each in a folder of its own.

    Those that share `SHARED` share batches; the others are learned before or after them.

    Args:
        configs: settings of each concept.
        progress: shows what is going on.
        options: what to do with what lies in the folders, and when a concept cannot begin.
        family: the base model of all `configs`, if it is loaded already.
        size: how many are in training at once; the others wait until there is room. By default as
            many as pay and as memory has room for.
        more: asked for the settings of further concepts when there is room for so many; they share
            `SHARED` with the others. They are not in the result.
        each: is told what is of note of each concept, instead of `progress`, and how it ended.

    Raises:
        PseudowordError: anything the user can put right; see the subclasses. When a concept fails
            in training, the others are finished first. The last good word of each is on disk; notes
            on the error say where.
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP, after the state has been saved. When a concept
            was asked to stop (`requests`), after the others are finished.
    """
    _check_folders(configs)
    at_most = MOST if size is None else size
    folders = [RunFolder(config.folder) for config in configs]
    with explain_failures(configs[:at_most], folders), ExitStack() as stack:
        timed = TimedProgress(progress, options.foretold)
        tally = Tally.of(configs, each)
        planned = _planned(configs, Once(timed), options, tally)
        for one in planned:
            stack.callback(one.release)
        done, todo = _claim(planned, at_most, options)
        _end_finished(done, planned, tally, timed)
        timed.config = todo[0].config if len(todo) == 1 else None
        if len(configs) == 1 and todo and family is None:
            one = todo[0]  # loading may take minutes
            examples.check(one.paths, one.config)
            checks.word_in_captions(one.config, one.paths, one.templates, one.others)
        loaded = LoadedBase(timed, family)
        for alike in _alike(todo):
            base = loaded.of(alike[0].config)
            done |= _learn(alike, base, tally, timed, options, size, more)
        if todo:
            timed.finish()
        if tally.stopped:
            raise stopped(tally.stopped, signal.SIGTERM, requested=True)
        if tally.failures:
            raise TrainingError(_what_failed(tally))
        return [done[folder.path] for folder in folders]


def check(config: TrainConfig, progress: Progress, options: Options = USUAL) -> PlannedRun:
    """The run, of which all is checked that needs no model, as `learn` does before it begins.

    Raises:
        PseudowordError: a picture, a caption, a setting or the folder of the run cannot be used.
    """
    planned = plan_run(config, progress, options)
    checks.word_in_captions(config, planned.paths, planned.templates, planned.others)
    return planned


def shared(config: TrainConfig) -> tuple[object, ...]:
    """What a word has in common with all that it can be in a pack with."""
    return tuple(getattr(config, name) for name in SHARED)


def finished(config: TrainConfig, *, allow_changes: bool = False) -> Trained | None:
    """The result of a run that has nothing left to do; None if it has.

    Raises:
        RunFolderError: the folder is in use, or holds a run with other settings.
    """
    folder = RunFolder(config.folder)
    if not folder.config.exists():  # so that nothing is made where there is no run
        return None
    with locks.lock_folder(folder.path):
        folder.recover()
        return _result(folder, config) if _nothing_left(folder, config, allow_changes) else None


def _planned(
    configs: Sequence[TrainConfig], progress: Progress, options: Options, tally: Tally
) -> list[PlannedRun]:
    """The runs, checked. One of several whose pictures cannot be used stops no other one."""
    planned = []
    for config in configs:
        try:
            own = OfWord(progress, config.folder, tally.each)
            planned.append(plan_run(config, own, options))
        except PictureError as error:
            if not options.keep_going or len(configs) == 1:
                raise
            tally.end(config, "failed", str(error))
            if tally.each is None:
                progress.note(f"{config.called} cannot be learned: {error}")
    return planned


def _claim(
    planned: Sequence[PlannedRun], at_most: int, options: Options
) -> tuple[dict[Path, Trained], list[PlannedRun]]:
    """Which runs are finished, by folder, and which are to be learned.

    The folders of the first `at_most` of these are locked then; the others wait unlocked.
    """
    done: dict[Path, Trained] = {}
    todo: list[PlannedRun] = []
    for one in planned:
        first = len(todo) < at_most
        if first or one.folder.config.exists():
            one.claim()
        if not options.restart and _nothing_left(one.folder, one.config, options.allow_changes):
            done[one.folder.path] = _result(one.folder, one.config)
        else:
            todo.append(one)
        if not first or one.folder.path in done:
            one.release()
    return done, todo


def _alike(todo: Sequence[PlannedRun]) -> Iterable[list[PlannedRun]]:
    """The concepts that can share batches, in the order of the first of each kind."""
    kinds: dict[tuple[object, ...], list[PlannedRun]] = {}
    for one in todo:
        kinds.setdefault(shared(one.config), []).append(one)
    return kinds.values()


def _learn(
    todo: Sequence[PlannedRun],
    family: Family,
    tally: Tally,
    progress: TimedProgress,
    options: Options,
    size: int | None,
    more: Callable[[int], Sequence[TrainConfig]] | None,
) -> dict[Path, Trained]:
    """Train the concepts of a pack to the end: folder -> result."""
    if size is None:
        size = _size([one.config for one in todo], family) if len(todo) > 1 or more else 1
    for one in todo:
        at_once = min(size, len(todo))
        checks.against_model(
            family, one.config, one.templates, one.progress.note, at_once, one.others
        )

    def ask(room: int) -> list[PlannedRun]:
        joining = []
        for config in more(room) if more else ():
            progress.config = None  # there are several now
            tally.add(config)
            own = OfWord(progress, config.folder, tally.each)
            try:
                planned = plan_run(config, own, options)
                checks.against_model(
                    family, config, planned.templates, own.note, size, planned.others
                )
                if finished(config, allow_changes=options.allow_changes):
                    tally.end(config, "done")
                else:
                    joining.append(planned)
            except PseudowordError as error:
                tally.end(config, "failed", str(error))
        return joining

    return Pack(family, todo, size, tally, options, progress, ask).learn()


def _size(configs: Sequence[TrainConfig], family: Family) -> int:
    """How many concepts like the first one are learned at once."""
    config = configs[0].model_copy(
        update={"output_embedding": all(one.output_embedding for one in configs)}
    )
    width, height = examples.crop_sizes(config, family.resolution, family.resolution_step)[0]
    side = round(math.sqrt(width * height) / family.resolution_step) * family.resolution_step
    return words_at_once(family, config, max(side, family.resolution_step))


def _what_failed(tally: Tally) -> str:
    if tally.total == 1:
        return tally.failures[0]
    return (
        f"{tally.words_failed} of {tally.words} words could not be learned; the others are ready. "
        "The same command tries these again.\n" + "\n".join(tally.failures)
    )


def _check_folders(configs: Sequence[TrainConfig]) -> None:
    known: dict[str, Path] = {}
    for folder in (config.folder for config in configs):
        other = known.setdefault(str(folder.resolve()).casefold(), folder)
        if other is not folder:  # case may make no other folder
            raise SettingsError(
                f"the concepts of a pack need folders of their own, and {folder} may be the same "
                f"as {other}: set out for each"
            )


def _nothing_left(folder: RunFolder, config: TrainConfig, allow_changes: bool) -> bool:
    """Whether the run is finished and not to be extended; reopens it if it is."""
    finished = folder.is_finished(config, allow_changes=allow_changes)
    return finished and not folder.reopen(config)


def _end_finished(
    done: Mapping[Path, Trained],
    planned: Sequence[PlannedRun],
    tally: Tally,
    progress: Progress,
) -> None:
    """Count and tell the words that have nothing left to learn."""
    ready = [one for one in planned if one.folder.path in done]
    for one in ready:
        _note_other_pictures(one, "remove it" if len(planned) > 1 else "add --restart")
        tally.end(one.config, "done")
    if len(ready) > 1:
        finished, all_words = (
            sum(len(one.config.tokens) for one in runs) for runs in (ready, planned)
        )
        progress.note(f"{finished} of {all_words} words are finished already")
    elif ready:
        progress.note(
            f"{ready[0].folder.path} is finished already; {_to_train_further(ready[0])}, or add "
            "--restart to learn it again"
        )


def _note_other_pictures(one: PlannedRun, way: str) -> None:
    """Report that a finished run has not learned from the pictures as they are now."""
    before = checkpoint.learned_from(one.folder.path)
    now = examples.fingerprint(one.paths, one.config)
    if before not in (None, now):
        one.progress.note(
            f"{one.folder.path} was learned from other, more or fewer pictures, repeats, masks or "
            f"captions than there are now; {way} to learn it again"
        )


def _to_train_further(one: PlannedRun) -> str:
    if one.config.can_extend:
        return f"to train it further, add for example --extend {one.config.extend + 100}"
    return f"to train further, begin another run with {command('--init', one.folder.concept)}"


def _result(folder: RunFolder, config: TrainConfig) -> Trained:
    """The result of a run that was finished before."""
    word, *also = map(formats.read, folder.concepts(config))
    return Trained(word, folder.path, float("nan"), 0.0, also=also)
