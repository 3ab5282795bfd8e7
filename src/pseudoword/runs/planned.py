"""A run before the model is needed: its settings, pictures and folder are checked."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pseudoword import locks
from pseudoword.config import TrainConfig
from pseudoword.data import captions, picture_files
from pseudoword.formats import sources
from pseudoword.formats.sources import NamedConcept
from pseudoword.progress import Progress
from pseudoword.runs import checks, trackers
from pseudoword.runs.folder import RunFolder


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
    foretold: Callable[[float, float], None] | None = None
    """told in how many seconds a run ends, or may first end, and in how many at most; without it,
    that is a note, which is true only when it is made"""


@dataclass
class PlannedRun:
    """A concept to learn, before it is set up."""

    config: TrainConfig
    folder: RunFolder
    paths: Sequence[Path]
    """the pictures"""
    templates: Sequence[str]
    progress: Progress
    others: Sequence[NamedConcept]
    """other words that its prompts may have in them"""
    lock: ExitStack = field(default_factory=ExitStack)
    """unlocks the folder"""
    claimed: bool = False
    """whether the folder is locked"""

    def claim(self) -> None:
        """Lock the folder, and mend what a killed process left in it, if that is not done yet.

        Raises:
            RunFolderError: another run has locked it.
        """
        if not self.claimed:
            self.lock.enter_context(locks.lock_folder(self.folder.path))
            self.claimed = True
            self.folder.recover()

    def release(self) -> None:
        """Unlock the folder."""
        self.lock.close()
        self.claimed = False


USUAL = Options()


def plan_run(config: TrainConfig, progress: Progress, options: Options = USUAL) -> PlannedRun:
    """Check all of a run that needs no model, before anything is locked or written.

    Raises:
        PseudowordError: a picture, a setting or the folder of the run cannot be used.
    """
    trackers.check(config.log)
    folder = RunFolder(config.folder)
    paths = picture_files.find(config.pictures, progress.note)
    picture_files.note_repeats(config.pictures, paths, progress.note)
    templates = captions.templates(config.template)
    checks.before_loading(config, paths, templates, progress.note)
    others = sources.read_named(config.words, flag="--words")
    checks.names(config, templates, others)
    folder.check(config, restart=options.restart, overwrite=options.overwrite)
    return PlannedRun(config, folder, paths, templates, progress, others)
