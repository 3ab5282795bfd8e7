"""The words that a folder of folders teaches, or a list of concepts, and their settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudoword import lookup
from pseudoword.config.concept_list import OF_EACH, listed_configs
from pseudoword.config.pictures import REPEATS, SUFFIXES, SYSTEM_FOLDERS
from pseudoword.config.problems import Problems
from pseudoword.config.train import TrainConfig
from pseudoword.errors import PictureError, SettingsError
from pseudoword.files import in_order, read_errors
from pseudoword.text import listed


def token_of(name: str) -> str:
    """The word that a folder of this name teaches: `my cat` teaches `<my-cat>`.

    Raises:
        SettingsError: nothing of the name is left to make a word of.
    """
    word = "-".join(name.strip("<> ").split())
    if not word:
        raise SettingsError("its name gives no word. Call it as the word, for example cat.")
    return f"<{word}>"


def word_configs(
    source: Path,
    out: Path | None,
    file: Path | None,
    settings: Mapping[str, Any],
    *,
    here: bool = True,
) -> list[TrainConfig]:
    """The settings of each word, in the order of the list, or of their folders' names.

    Args:
        source: a folder that has a folder of pictures for each word, or a TOML list of concepts.
        out: gets the folder of a run for each word; None: not known yet.
        file: a TOML file of settings.
        settings: those of `TrainConfig` that were given for all words.
        here: what they name must be on this machine; workers of a queue may be on others.

    Raises:
        PseudowordError: a folder or a setting does not work; one error tells all that is wrong.
    """
    lookup.words_there(source)
    if source.is_file():
        return listed_configs(source, out, file, settings)
    return _folder_configs(source, out, file, settings, here)


def _folder_configs(
    folder: Path, out: Path | None, file: Path | None, settings: Mapping[str, Any], here: bool
) -> list[TrainConfig]:
    """A word for each folder in `folder`."""
    given = TrainConfig.own_names(settings)
    if of_each := [name for name in OF_EACH if name in given]:
        raise SettingsError(
            f"{listed(of_each)} cannot be given for all words: each folder in {folder} has the "
            "pictures of one word and its name."
        )
    shared = TrainConfig.gather(file, **given, pictures=[folder], token="<word>", out=out)
    if here:
        shared.check_there()
    if out and out.resolve().is_relative_to(folder.resolve()):
        raise SettingsError(
            f"--out {out} is in {folder}, where each folder is a word to learn. Choose one outside."
        )
    configs: dict[str, TrainConfig] = {}  # by token; where case is ignored, they are one file
    problems = Problems()
    folders = _folders(folder)
    have_repeats = all(REPEATS.match(inner.name) for inner in folders)
    for inner in folders:
        with problems.of(inner):
            token = token_of(REPEATS.sub("", inner.name, 1) if have_repeats else inner.name)
            config = TrainConfig.gather(
                file, **given, pictures=[inner], token=token, out=out and out / inner.name
            )
            other = configs.setdefault(config.token.casefold(), config)
            if other is not config:
                raise SettingsError(
                    f"teaches {config.token}, and {other.pictures[0]} {other.token}. Rename one of "
                    "them; upper and lower case make no other word."
                )
    problems.raise_all()
    return [*configs.values()]


def _folders(folder: Path) -> list[Path]:
    """The folders of the words, in the order of their names.

    Raises:
        PictureError: there is none, or pictures lie beside them.
    """
    with read_errors(folder, PictureError):
        entries = [path for path in in_order(folder) if not path.name.startswith(".")]
    pictures = [p.name for p in entries if not p.is_dir() and p.suffix.lower() in SUFFIXES]
    if pictures:
        raise PictureError(
            f"{folder} has pictures that are in no folder of a word: {listed(pictures)}. Move them "
            "into a folder that is called as their word, or learn one word with `pseudoword train`."
        )
    folders = [p for p in entries if p.is_dir() and p.name.lower() not in SYSTEM_FOLDERS]
    if not folders:
        raise PictureError(
            f"{folder} has no folders. Make one for each word, called as the word, and put its "
            "pictures there."
        )
    return folders
