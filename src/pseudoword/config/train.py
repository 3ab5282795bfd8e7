"""Everything that decides what `train` learns, put together from its groups."""

import tomllib
from pathlib import Path
from typing import ClassVar, Self

import tomli_w

from pseudoword.config.captions import CaptionSettings
from pseudoword.config.memory import MemorySettings
from pseudoword.config.optimising import Hyper
from pseudoword.config.pictures import PictureSettings
from pseudoword.config.settings import BaseChoice
from pseudoword.config.watching import WatchSettings
from pseudoword.config.word import WordSettings
from pseudoword.errors import SettingsError
from pseudoword.files import file_stem


# pydantic collects fields from the last base to the first: help shows the word first.
class TrainConfig(
    WatchSettings, MemorySettings, Hyper, CaptionSettings, PictureSettings, WordSettings, BaseChoice
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
        """As text that `from_toml` reads back; unset values are left out."""
        values = self.model_dump(mode="json", exclude_none=True)
        values["pictures"] = [str(p.resolve()) for p in self.pictures]
        values.pop("out", None)
        return tomli_w.dumps(values)

    @classmethod
    def from_toml(cls, text: str, where: Path) -> Self:
        """Read settings written by `to_toml`.

        Raises:
            SettingsError: not TOML, or a value is wrong.
        """
        try:
            return cls.check(**tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{where} is damaged: {error}") from error
