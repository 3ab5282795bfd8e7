"""Settings that `bench` compares, as people write them: `lr=2e-3,steps=200,toward=0.2`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pseudoword.config.fields import AS_WRITTEN, parsed
from pseudoword.config.generate import GenerateConfig
from pseudoword.config.train import TrainConfig
from pseudoword.errors import SettingsError
from pseudoword.text import brief

DEFAULTS = "defaults"
"""The name of a variant without settings."""

DRAWING = ("toward", "rows")
"""Settings of a variant that are not of train, but of generate."""

LAYERS = "layers"
"""Of a variant alone: whether layered words are drawn as no tool without layers does."""

BOOLEANS = {"true": True, "false": False}

OWN_SETTINGS = ("pictures", "token", "out", "base")
"""Settings of train that the benchmark chooses itself."""


@dataclass(frozen=True)
class Variant:
    """Settings of train to compare with others."""

    name: str
    settings: Mapping[str, Any]
    """fields of `TrainConfig`; the others have their defaults"""
    toward: float = 0
    """how far the learned words are turned towards their starting words when they are drawn"""
    rows: int | None = None
    """how many of their rows are drawn with; None for all"""
    layers: bool = True
    """whether they are drawn with their rows for each layer, if they have such"""

    @property
    def learned_as(self) -> str:
        """The name of the variant that has its words as they were learned."""
        as_learned = not self.toward and self.rows is None and self.layers
        settings = ",".join(f"{name}={value}" for name, value in self.settings.items())
        return self.name if as_learned else (settings or DEFAULTS)

    @property
    def config(self) -> TrainConfig:
        """All settings of train, of a word in the current folder, which is there."""
        return TrainConfig.check(pictures=["."], token="<word>", **self.settings)

    def is_same(self, other: "Variant") -> bool:
        """Whether both have the same words and drawings, however they are written."""
        drawing = (self.toward, self.rows, self.layers), (other.toward, other.rows, other.layers)
        return drawing[0] == drawing[1] and self.config == other.config

    def __str__(self) -> str:
        """As it was written."""
        return "" if self.name == DEFAULTS else self.name


def parse_variant(text: str) -> Variant:
    """Read `lr=2e-3,steps=200` as settings; an empty text means the defaults.

    Raises:
        SettingsError: the text is written in another way, or names no settings of train.
    """
    try:
        variant = _parse(text)
        _ = variant.config
    except SettingsError as error:
        lines = (f"--compare {brief(text)}: {line}" for line in str(error).split("\n"))
        raise SettingsError("\n".join(lines)) from error
    return variant


def _parse(text: str) -> Variant:
    given: dict[str, str] = {}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        name, _, value = map(str.strip, part.partition("="))
        key = name.removeprefix("--").replace("-", "_")  # as of an option
        if key in given:
            raise SettingsError(f"{brief(key)} is given twice")
        given[key] = value
    layers = BOOLEANS.get(given.pop(LAYERS, "true").lower())
    if layers is None:
        raise SettingsError(f"{LAYERS} is true or false")
    own = {name: given.pop(name) for name in DRAWING if name in given}
    drawing = GenerateConfig.check(**own)
    settings = TrainConfig.own_names(given)
    if not all(settings.values()):
        raise SettingsError("write settings of train as name=value, with commas between")
    for name in settings:
        if name in OWN_SETTINGS:
            raise SettingsError(f"the benchmark chooses {name} itself; leave it out")
    return Variant(text if parts else DEFAULTS, settings, drawing.toward, drawing.rows, layers)


Compared = Annotated[Variant, parsed(Variant, parse_variant), AS_WRITTEN]
"""A variant; written as the user wrote it."""
