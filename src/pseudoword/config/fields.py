"""Types that several settings share, with their bounds. The bounds are far beyond what makes sense:
a larger value would only use up all memory or time."""

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from pseudoword import lookup
from pseudoword.errors import SettingsError
from pseudoword.text import brief

OFTEN = "often changed"
"""Marks a setting, as in `Annotated[int, OFTEN]`: the short help of a command shows it, too."""


class Auto(StrEnum):
    """The value `auto` of a setting, which then is found out."""

    AUTO = "auto"


AUTO: Final = Auto.AUTO

MOST_PX = 8192
MOST_STEPS = 1_000_000
MOST_SAMPLES = 4096
MOST_PICTURES = 1000

SIDE_PX = Field(ge=8, le=MOST_PX)
"""The side of a picture in pixels."""

GUIDANCE = Field(ge=0, le=1000, allow_inf_nan=False)
"""Classifier-free guidance; 1 is off."""

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""What a generator of torch takes."""

Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]
"""A number of steps."""

Count = Annotated[int, Field(ge=0, le=MOST_STEPS)]
"""A number of steps, copies or pictures, perhaps none."""

Samples = Annotated[int, Field(ge=1, le=MOST_SAMPLES)]
"""Samples in a batch."""

SAMPLER_STEPS = Field(ge=1, le=1000)
"""Denoising steps per picture; no model was trained for more."""

SamplerSteps = Annotated[int, SAMPLER_STEPS]

USUAL_SAMPLER_STEPS = 25
"""Denoising steps of a picture, with models that are not distilled to draw in fewer."""

Pictures = Annotated[int, Field(ge=1, le=MOST_PICTURES)]
"""Pictures to draw."""


AS_WRITTEN = PlainSerializer(str, return_type=str)
"""Writes a value that was parsed from a text as that text."""


def parsed(kind: type, parse: Callable[[str], Any]) -> PlainValidator:
    """Takes a `kind`, or a text that `parse` makes one of."""

    def read(value: object) -> object:
        if isinstance(value, kind):
            return value
        if isinstance(value, str):
            return parse(value)
        raise PydanticCustomError("text", "Input should be a text")

    return PlainValidator(read, json_schema_input_type=str)


def flag(field: str) -> str:
    """The name of a field on the command line."""
    return "-n" if field == "n" else "--" + field.replace("_", "-")


def check_text(what: str, text: str) -> None:
    """Check that `text` can be written to a file.

    Raises:
        SettingsError: it has zero bytes in it, or bytes that are no UTF-8.
    """
    if "\0" in text:
        raise SettingsError(f"{what} {brief(text)} has a zero byte in it. Leave it out.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingsError(
            f"{what} {brief(text)} is not UTF-8. Write it, or name the file, in UTF-8."
        ) from None


def _filled(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str) and len(value) > lookup.MAX_PATH_CHARS:
        told = f"{flag(str(info.field_name))} {brief(value)}"
        raise SettingsError(f"{told} has {len(value)} characters, which is no name of anything")
    if isinstance(value, str) and not value.strip():
        raise SettingsError(
            f"{flag(str(info.field_name))} is empty. Give it a value, or leave it out."
        )
    return value


def _no_stream(value: Any, info: ValidationInfo) -> Any:
    if value == lookup.STREAM:
        raise SettingsError(f"{flag(str(info.field_name))}: {lookup.NO_STREAM}")
    return _filled(value, info)


def _side_of_square(value: Any, info: ValidationInfo) -> Any:
    """`512,512`, as in kohya's scripts, is 512."""
    written = value if isinstance(value, str) else ""
    sides = re.fullmatch(r"\s*(\d{1,9})\s*[,x]\s*(\d{1,9})\s*", written)
    if sides is None:
        return value
    if int(sides[1]) != int(sides[2]):
        raise SettingsError(
            f"{flag(str(info.field_name))} {brief(value)}: it is the side of a square, one number. "
            "For other shapes, train and generate have --width and --height."
        )
    return sides[1]


def _as_text(value: Any) -> Any:
    if not isinstance(value, Path):
        return value
    text = str(value)
    return text if lookup.looks_like_path(text) else f"./{text}"


def at_home(text: str) -> str:
    """`text`, in which `~` is the home folder."""
    return str(lookup.expand_home(text)) if text.startswith("~") else text


SideOfSquare = Annotated[int | None, SIDE_PX, BeforeValidator(_side_of_square)]
"""The side of a square picture; None: the model's own."""

Name = Annotated[str, BeforeValidator(_filled)]
"""Something that is known by name."""

A_PATH = BeforeValidator(_as_text, json_schema_input_type=str | Path)
"""Takes a `Path`, too, which is text then that is taken for nothing but a path."""

Place = Annotated[Name, A_PATH, AfterValidator(at_home)]
"""Something that is known by name or found at a path, where `~` is the home folder."""

FilePath = Annotated[
    Path, AfterValidator(lambda path: lookup.expand_home(str(path))), BeforeValidator(_no_stream)
]
"""A file or folder; an empty one would be the current folder."""

FilePaths = Annotated[tuple[FilePath, ...], Field(min_length=1)]
"""One file or folder, or several."""
