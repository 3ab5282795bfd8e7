"""Settings: typed, checked, written once. The docstring under a field is its help everywhere."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pseudoword.errors import PseudowordError, SettingsError
from pseudoword.files import file_stem

InitMode = Literal["auto", "rows", "mean", "random", "file"]
DType = Literal["auto", "float32", "bfloat16", "float16"]


class Settings(BaseModel):
    """Base of all settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def check(cls, **values: Any) -> Self:
        """Build from loose values.

        Raises:
            SettingsError: a value is wrong; the message names the flag and what it takes.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingsError("\n".join(_explain(e) for e in error.errors())) from error


def flag(field: str) -> str:
    """How a field is called on the command line."""
    return "-n" if field == "n" else "--" + field.replace("_", "-")


def _explain(error: Any) -> str:
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, PseudowordError):
        return str(cause)
    where = flag(str(error["loc"][0])) if error["loc"] else "settings"
    given = "" if error["type"] == "missing" else f", got {error['input']!r}"
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}{given}"


class BaseChoice(Settings):
    """Which model to use, and how."""

    base: str = "emoji"
    """Base model: `emoji` (bundled), a folder in diffusers' layout, or a hub id."""

    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""

    dtype: DType = "auto"
    """Precision of the frozen weights; the new word is always float32."""


class TrainConfig(BaseChoice):
    """Everything that decides what `train` learns."""

    pictures: Annotated[tuple[Path, ...], Field(min_length=1)]
    """A folder of pictures, or several files. Three to five are enough."""

    token: str
    """The new word as you will write it in prompts, for example "<my-cat>"."""

    init: str = "object"
    """Start from this word or these words, or from a concept file to go on training it."""

    init_mode: InitMode = "auto"
    """How --init is used: rows (one row per token), mean, random, file; auto finds out."""

    method: Literal["classic"] = "classic"
    """How the vectors come to be; classic learns them freely."""

    vectors: Annotated[int, Field(ge=1, le=75)] = 1
    """How many vectors the word has."""

    out: Path | None = None
    """Folder of the run; by default runs/ and the token's name."""

    template: str = "object"
    """Sentences to learn in: object, style, minimal, captioned, or a file with one per line."""

    steps: Annotated[int, Field(ge=1)] = 300
    """How many optimiser steps."""

    batch: Annotated[int, Field(ge=1)] = 4
    """Samples per step."""

    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5e-3
    """Learning rate of AdamW."""

    clip_norm: Annotated[float | None, Field(gt=0)] = 1.0
    """Gradients longer than this are shortened to it."""

    resolution: Annotated[int | None, Field(ge=8)] = None
    """Side in pixels of the square the pictures are cut to; by default the model's own."""

    latents: Literal["sample", "mean"] = "sample"
    """Draw each latent from the VAE's moments, or take their mean."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Same seed, settings and machine: same word."""

    preview: tuple[str, ...] = ("a photo of [name]",)
    """Prompt to preview the finished word with; [name] stands for it. May be repeated."""

    word_in_preview: bool = True
    """Put the word into the preview pictures, so that each can be used as an embedding."""

    checkpoint_every: Annotated[int, Field(ge=1)] = 25
    """Save the state every so many steps."""

    @field_validator("token")
    @classmethod
    def _token(cls, token: str) -> str:
        from pseudoword.concept import check_token

        return check_token(token)

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


class DrawConfig(BaseChoice):
    """How pictures are drawn."""

    n: Annotated[int, Field(ge=1)] = 1
    """How many pictures."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the first picture; each further one adds 1."""

    negative: str = ""
    """What the picture should not show; concepts work here too."""

    guidance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 7.5
    """How strongly to follow the prompt (classifier-free guidance); 1 is off."""

    sampler_steps: Annotated[int, Field(ge=1)] = 25
    """Denoising steps per picture."""

    resolution: Annotated[int | None, Field(ge=8)] = None
    """Side of the picture in pixels; by default the model's own."""
