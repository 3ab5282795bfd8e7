"""A TOML list of concepts: the settings of each, over those that stand above the list.

steps = 200                     # holds for all

[[concept]]
token = "<cat>"
pictures = "photos/cat"
init = "cat"

[[concept]]
token = "<lamp>"
pictures = ["lamp-1.jpg", "lamp-2.jpg"]
steps = 400
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pseudoword.config.problems import Problems
from pseudoword.config.train import TrainConfig, read_toml
from pseudoword.errors import PictureError, SettingsError
from pseudoword.files import file_stem
from pseudoword.text import brief, listed

OF_EACH = ("pictures", "token", "out")
"""Settings that differ between concepts, so that nobody can give them for all."""

LIST = "concept"
"""The name of the list."""


def listed_configs(
    source: Path, out: Path | None, file: Path | None, settings: Mapping[str, Any]
) -> list[TrainConfig]:
    """The settings of each concept, in the order of the list.

    What was given now counts most, then what stands in the concept, above the list, and in `file`.

    Args:
        source: the TOML list.
        out: gets the folder of a run for each concept, called as its token; None: not known yet.
        file: a TOML file of settings.
        settings: those of `TrainConfig` that were given for all concepts.

    Raises:
        SettingsError: a setting or the list does not work; one error tells all that is wrong.
    """
    above, concepts = _read(source)
    given = TrainConfig.own_names(settings)
    if of_each := [name for name in OF_EACH if name in above or name in given]:
        raise SettingsError(
            f"{listed(of_each)} cannot be given for all concepts: each concept in {source} has its "
            "own token and pictures."
        )
    shared: list[tuple[Mapping[str, Any], Path | str]] = [(above, source)]
    if file is not None:  # it may be the config.toml of a run
        values = TrainConfig.own_names(read_toml(file), file)
        shared.insert(0, ({n: v for n, v in values.items() if n not in OF_EACH}, file))
    configs: list[TrainConfig] = []
    folders: dict[str, str] = {}
    problems = Problems()
    for i, values in enumerate(concepts, start=1):
        where = f"{source}, concept {i}"
        with problems.of(where):
            config = TrainConfig.layered([*shared, (values, where)], where, **given)
            if config.out is not None:
                raise SettingsError(
                    f"out cannot be given: the folder is in {out or '--out'}, and is called as the "
                    "token."
                )
            folder = file_stem(config.token)
            if out is not None:
                config = config.model_copy(update={"out": out / folder})
            if other := folders.get(folder.casefold()):  # case may make no other folder
                raise SettingsError(
                    f"{brief(config.token)} would be in the same folder as {other}. Call one of "
                    "them otherwise."
                )
            folders[folder.casefold()] = f"concept {i}, {brief(config.token)}"
            configs.append(config)
            with suppress(PictureError):  # the others are learned
                config.check_there()
    problems.raise_all()
    return configs


def _read(source: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings above the list, by our names, and those of each concept.

    Raises:
        SettingsError: the file has no list, or cannot be read.
    """
    above = read_toml(source)
    concepts = above.pop(LIST, None)
    is_list = isinstance(concepts, list) and all(isinstance(c, dict) for c in concepts)
    if not concepts or not is_list:
        raise SettingsError(
            f"{source} has no list of concepts. Begin each with a line [[{LIST}]], and give it "
            "its token and pictures below."
        )
    return TrainConfig.own_names(above, source), concepts
