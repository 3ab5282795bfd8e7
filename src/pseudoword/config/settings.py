"""What all settings share: how they are checked, and how a mistake in them is told."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pseudoword.errors import PseudowordError, SettingsError

DType = Literal["auto", "float32", "bfloat16", "float16"]
Quantize = Literal["none", "8bit", "4bit"]
Prediction = Literal["auto", "epsilon", "v_prediction"]


class Settings(BaseModel):
    """Base of all settings; a group of them is a class, and the docstring of a field its help."""

    heading: ClassVar[str] = "Settings"
    """What the command line and pages call the group."""

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


def group_of(kind: type[Settings], field: str) -> str:
    """The heading under which `field` of `kind` is shown: that of the class which declares it."""
    owner = next(c for c in kind.__mro__ if field in vars(c).get("__annotations__", {}))
    return str(owner.heading)  # type: ignore[attr-defined]


class BaseChoice(Settings):
    """Which model to use, and how."""

    heading: ClassVar[str] = "Base model"

    base: str = "emoji"
    """Base model: emoji (bundled), a folder in diffusers' layout, a .safetensors or .ckpt file, or
    a hub id, also as owner/name@revision."""

    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps. Auto is what the environment variable
    PSEUDOWORD_DEVICE says, else the best there is."""

    dtype: DType = "auto"
    """Precision of the frozen weights; the new word is always float32."""

    variant: str | None = None
    """Load the weights with this in their file names, for example fp16."""

    configs: Path | None = None
    """For a base in one file: a folder in diffusers' layout with its configs and tokenizers."""

    prediction: Prediction = "auto"
    """What a base in one file predicts, where the file does not say."""

    quantize: Quantize = "none"
    """Keep the frozen linear layers in 8 or 4 bits (needs the extra `quantize`)."""
