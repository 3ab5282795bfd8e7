"""`train-many`: learn a word from each folder in a folder, or each of a list, in packs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pseudoword import formats
from pseudoword.config import TrainConfig
from pseudoword.config.problems import Problems
from pseudoword.config.word_folders import word_configs
from pseudoword.errors import PictureError, PseudowordError, SettingsError, TrainingError
from pseudoword.progress import Progress, Silent
from pseudoword.report import picture_output, word_sheet
from pseudoword.runs import checkpoint
from pseudoword.runs.finish import Trained
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.planned import Options
from pseudoword.runs.runner import check, finished, learn


def learn_many(
    folder: Path,
    out: Path,
    pack: int | None,
    file: Path | None,
    settings: Mapping[str, Any],
    progress: Progress,
    options: Options,
) -> list[Trained]:
    """Learn a word from each folder in `folder`, or each of a list; the public `train_many`.

    `file` is a TOML file of settings, and `settings` those that were given for all words.
    """
    if pack is not None and pack < 1:
        raise SettingsError(f"--pack {pack}: give how many words to learn at once, at least 1.")
    configs = word_configs(folder, out, file, settings)
    overwrite = options.overwrite
    _check_sheet(out, configs, overwrite)
    problems, without_pictures = Problems(), Problems()
    for config in configs:
        where = config.pictures[0]
        with problems.of(where), without_pictures.of(where, PictureError):
            check(config, Silent(), options)  # what is of note is said when it begins
            if not options.restart:
                finished(config, allow_changes=options.allow_changes)
    problems.raise_all()
    if len(without_pictures) == len(configs):
        without_pictures.raise_all()  # else `learn` tells them, and learns the others
    try:
        trained = learn(configs, progress, replace(options, keep_going=True), size=pack)
    except TrainingError as failed:
        try:
            _draw_sheet(out, configs, overwrite)  # the other words are ready
        except PseudowordError as error:
            failed.add_note(f"There is no sheet of the others: {error}")
        raise
    _draw_sheet(out, configs, overwrite)
    return trained


def _check_sheet(out: Path, configs: Sequence[TrainConfig], overwrite: bool) -> None:
    """Check before any work that the contact sheet can be written."""
    sheet = out / word_sheet.FILE
    for config in configs:
        if config.folder == sheet:
            raise SettingsError(
                f"{sheet} will show all words, so {config.token} cannot be learned in a folder of "
                "this name. Call its pictures' folder otherwise."
            )
    picture_output.check(sheet, word_sheet.maker(out, sheet), overwrite=overwrite)


def _draw_sheet(out: Path, configs: Sequence[TrainConfig], overwrite: bool) -> None:
    """Draw the words that are ready, with their last previews, on one sheet."""
    ready = [config for config in configs if checkpoint.finished_step(config.folder) is not None]
    files = [file for config in ready for file in RunFolder(config.folder).concepts(config)]
    shown = [file for file in files if file.is_file()][: word_sheet.MAX_CELLS]
    words = [(file, formats.read(file)) for file in shown]
    cells = [word_sheet.cell(word, word_sheet.preview_of(file, word.token)) for file, word in words]
    if cells:
        sheet = out / word_sheet.FILE
        maker = word_sheet.maker(out, sheet)
        picture_output.write(word_sheet.sheet(cells), sheet, maker, overwrite=overwrite)
