"""`train-many`: learn a word from each folder in a folder, in packs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudoword.config import TrainConfig
from pseudoword.data import captions
from pseudoword.errors import (
    PseudowordError,
    SettingsError,
    StorageError,
    TrainingError,
)
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.progress import Progress, Silent
from pseudoword.runs import checks
from pseudoword.runs.runner import Trained, check, finished, learn
from pseudoword.runs.word_folders import Problems, word_configs
from pseudoword.text import brief


def learn_many(
    folder: Path,
    out: Path,
    pack: int,
    file: Path | None,
    settings: Mapping[str, Any],
    progress: Progress,
    allow_changes: bool = False,
    overwrite: bool = False,
) -> list[Trained]:
    """Learn a word from each folder in `folder`; the public `train_many`.

    Args:
        folder: has a folder of pictures for each word.
        out: gets the folder of a run for each word.
        pack: how many words to learn at once.
        file: a TOML file of settings.
        settings: those of `TrainConfig` that were given for all words.
        progress: shows what is going on.
        allow_changes: resume runs although their settings or pictures have changed.
        overwrite: replace files in the folders of the runs that no run has written.

    Raises:
        SettingsError: a folder or a setting does not work. Nothing has been learned then.
        TrainingError: some words could not be learned; all others are finished.
        Interrupted: on Ctrl-C or SIGTERM, after the state has been saved.
    """
    if pack < 1:
        raise SettingsError(f"--pack {pack}: give how many words to learn at once, at least 1.")
    configs = word_configs(folder, out, file, settings)
    done = _check(configs, allow_changes, overwrite)
    todo = [config for config in configs if config.folder not in done]
    if done:
        progress.note(f"{len(done)} of {len(configs)} words are finished already")
    if todo:
        family = _load(todo, min(pack, len(todo)), progress)
        packs = _Packs(family, len(configs), done, progress, allow_changes, overwrite)
        for some in _parts(todo, pack):
            packs.learn(some)
        packs.raise_failures()
    return [done[config.folder] for config in configs]


def _check(
    configs: Sequence[TrainConfig], allow_changes: bool, overwrite: bool
) -> dict[Path, Trained]:
    """Check all words before the long work.

    Returns:
        Folder of a run -> its result, for those that have nothing left to do.
    """
    done = {}
    problems = Problems()
    for config in configs:
        with problems.of(config.pictures[0]):
            check(config, Silent(), overwrite=overwrite)  # what is of note is said when it begins
            if result := finished(config, allow_changes):
                done[config.folder] = result
    problems.raise_all()
    return done


def _load(configs: Sequence[TrainConfig], pack: int, progress: Progress) -> Family:
    """Load the base model once for all packs, and check that it can do what is asked for."""
    first = configs[0]
    progress.phase(f"loading {first.base}")
    family = base_model.load(first, checkpointing=first.gradient_checkpointing)
    templates = captions.templates(first.template)
    checks.against_model(family, first, templates, Silent().note, pack)
    return family


class _Packs:
    """Learns packs, one after the other. It is also the progress that they show."""

    def __init__(
        self,
        family: Family,
        total: int,
        done: dict[Path, Trained],
        progress: Progress,
        allow_changes: bool,
        overwrite: bool,
    ) -> None:
        self._family, self._total, self._done, self._progress = family, total, done, progress
        self._allow_changes, self._overwrite = allow_changes, overwrite
        self._failed: dict[str, str] = {}
        self._safe: list[str] = []

    def learn(self, configs: Sequence[TrainConfig]) -> None:
        """Learn a pack. If it fails, those that did not finish are learned in smaller packs.

        So a word that fails alone is the one to blame, whatever the reason is, and the others go on
        from their checkpoints.
        """
        why = self._try(configs)
        left = [config for config in configs if config.folder not in self._done]
        if why is not None and len(configs) > 1:
            self._progress.note(f"a pack failed, so its words go on in smaller ones: {brief(why)}")
            most = len(left) if len(left) < len(configs) else (len(left) + 1) // 2
            for some in _parts(left, most):
                self.learn(some)
        elif why is not None:
            token = configs[0].token
            self._failed[token] = why.removeprefix(f"{token}: ")
        else:
            self._progress.note(f"{len(self._done)} of {self._total} words are done")

    def _try(self, configs: Sequence[TrainConfig]) -> str | None:
        """Learn a pack; why it failed, if it did.

        The error itself is not kept: it would hold all memory of the pack.
        """
        try:
            trained = learn(
                configs,
                self,
                allow_changes=self._allow_changes,
                overwrite=self._overwrite,
                family=self._family,
            )
        except StorageError:
            raise  # the other words would meet it, too
        except PseudowordError as error:
            if len(configs) == 1:
                self._safe += getattr(error, "__notes__", [])
            else:
                for config in configs:
                    if result := finished(config, self._allow_changes):
                        self._done[config.folder] = result
            return str(error)
        self._done.update({one.folder: one for one in trained})
        return None

    def raise_failures(self) -> None:
        """Tell which words failed, and why.

        Raises:
            TrainingError: some have.
        """
        if not self._failed:
            return
        lines = [f"{token}: {why}" for token, why in self._failed.items()]
        error = TrainingError(
            f"{len(lines)} of {self._total} words could not be learned; the others are ready. The "
            "same command tries these again.\n" + "\n".join(lines)
        )
        for note in self._safe:
            error.add_note(note)
        raise error

    def phase(self, text: str) -> None:
        """A phase of a pack."""
        self._progress.phase(f"{len(self._done)} of {self._total} words done, {text}")

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """A step of a phase."""
        self._progress.advance(done, total, detail)

    def note(self, text: str) -> None:
        """A note of a pack."""
        self._progress.note(text)


def _parts(configs: Sequence[TrainConfig], most: int) -> Iterator[Sequence[TrainConfig]]:
    for at in range(0, len(configs), max(most, 1)):
        yield configs[at : at + most]
