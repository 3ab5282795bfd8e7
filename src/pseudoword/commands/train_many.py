"""`train-many`: learn a word from each folder in a folder, or each of a list, in packs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudoword.errors import SettingsError
from pseudoword.progress import Progress, Silent
from pseudoword.runs.pack import Options, Trained
from pseudoword.runs.problems import Problems
from pseudoword.runs.runner import check, finished, learn
from pseudoword.runs.word_folders import word_configs


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
    """Learn a word from each folder in `folder`, or each of a list; the public `train_many`.

    Args:
        folder: has a folder of pictures for each word; or a TOML list of concepts.
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
    problems = Problems()
    for config in configs:
        with problems.of(config.pictures[0]):
            check(config, Silent(), overwrite)  # what is of note is said when it begins
            finished(config, allow_changes)
    problems.raise_all()
    options = Options(allow_changes=allow_changes, overwrite=overwrite, keep_going=True)
    return learn(configs, progress, options, size=pack)
