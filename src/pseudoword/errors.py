"""All errors that a user can cause. Each message says what is wrong, where, and what to do."""

from pathlib import Path
from typing import Self

from pseudoword.text import visible


class PseudowordError(Exception):
    """Base of all errors raised on purpose; the command line prints it and exits with code 2."""

    def __str__(self) -> str:
        return visible(super().__str__(), lines=True)  # it may hold names of files


class SettingsError(PseudowordError, ValueError):
    """A setting is missing or invalid, or contradicts another one."""


class PictureError(PseudowordError):
    """A picture, or the folder of pictures, cannot be used."""


class ConceptError(PseudowordError):
    """A concept file cannot be read, or does not fit the base model."""


class BaseModelError(PseudowordError):
    """A base model cannot be found, loaded or recognised."""


class PromptError(PseudowordError):
    """A prompt cannot be used as written, for example because its placeholder is cut off."""


class RunFolderError(PseudowordError):
    """The output folder is in use by another run, or holds files that must not be replaced."""

    @classmethod
    def altered(cls, path: Path, why: str) -> Self:
        """A file of a run holds something else."""
        return cls(
            f"{path} is not as a run writes it: {why}. Restore the original file, add --restart to "
            "begin again, or choose another --out."
        )


class StorageError(PseudowordError):
    """A file could not be written: disk full, quota, no permission."""


class DamagedError(StorageError):
    """An object of a queue is damaged or missing; only its word cannot be learned."""


class TrainingError(PseudowordError):
    """Training cannot go on: no gradient, a loss that is not finite, a word without effect."""


class StoppedError(PseudowordError):
    """A training was asked to stop by a file in its folder. Its state is saved.

    For callers from Python; Ctrl-C and other signals remain a `KeyboardInterrupt`.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this error of Python or torch says that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        "out of memory" in text or "can't allocate memory" in text
    )


def is_ctrl_c(error: BaseException) -> bool:
    """Whether it comes from Ctrl-C, which Python 3.11 and pydantic wrap while a class is made."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
        return True
    return type(error).__name__ == "SchemaError" and "KeyboardInterrupt" in str(error)
