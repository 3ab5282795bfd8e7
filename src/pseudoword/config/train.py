"""Everything that decides what `train` learns, put together from its groups."""

import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self

import tomli_w
from pydantic import model_validator

from pseudoword.config.captions import CaptionSettings
from pseudoword.config.memory import MemorySettings
from pseudoword.config.optimising import Hyper
from pseudoword.config.pictures import PictureSettings
from pseudoword.config.settings import BaseChoice
from pseudoword.config.stopping import StopSettings
from pseudoword.config.watching import WatchSettings
from pseudoword.config.word import WordSettings
from pseudoword.errors import SettingsError
from pseudoword.files import file_stem

MAY_BE_PATHS = ("base", "configs", "init", "template")
"""Settings that name something known, or a file; a file's path has a slash or an ending."""


# pydantic collects fields from the last base to the first: help shows the word first.
class TrainConfig(
    WatchSettings,
    StopSettings,
    MemorySettings,
    Hyper,
    CaptionSettings,
    PictureSettings,
    WordSettings,
    BaseChoice,
):
    """Everything that decides what `train` learns."""

    heading: ClassVar[str] = "Run"

    out: Path | None = None
    """Folder of the run; by default runs/ and the token's name."""

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return self.out or Path("runs") / file_stem(self.token)

    def to_toml(self) -> str:
        """As text that `from_toml` reads back, wherever it is read; unset values are left out."""
        values = self.model_dump(mode="json", exclude_none=True, exclude={"out"})
        values["pictures"] = [str(p.resolve()) for p in self.pictures]
        for name in MAY_BE_PATHS:
            given = Path(values.get(name, ""))
            if (given.suffix or len(given.parts) > 1) and given.exists():
                values[name] = str(Path(values[name]).resolve())
        return tomli_w.dumps(values)

    @classmethod
    def from_toml(cls, text: str, where: Path) -> Self:
        """Read settings written by `to_toml`.

        Raises:
            SettingsError: not TOML, or a value is wrong.
        """
        return cls.check(**_values(text, where))

    @classmethod
    def gather(cls, file: Path | None, **given: Any) -> Self:
        """Settings `given`, over those of a TOML `file`, over the defaults.

        Raises:
            SettingsError: the file cannot be read, or a value is wrong.
        """
        if file is None:
            return cls.check(**given)
        try:
            values = _values(file.read_text(encoding="utf-8"), file)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"--config {file} cannot be read: {error}") from error
        return cls.check(**(values | given))

    @model_validator(mode="after")
    def _evaluation_for_what_needs_it(self) -> Self:
        if self.steps == "auto" and not self.evaluate_every:
            raise SettingsError(
                "--steps auto looks at the evaluation: --evaluate-every is needed, or a number of "
                "--steps"
            )
        return self


def _values(text: str, where: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where} is damaged: {error}") from error
