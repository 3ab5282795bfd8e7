"""Every error a user can cause. Each message says what went wrong, where, and what to do next."""

from pseudoword.text import visible


class PseudowordError(Exception):
    """Base of all errors raised on purpose; the command line prints it and exits with code 2."""

    def __str__(self) -> str:
        return visible(super().__str__(), lines=True)  # it may name a file, or tell of one


class SettingsError(PseudowordError, ValueError):
    """A setting is missing, malformed, or disagrees with another one."""


class PictureError(PseudowordError):
    """A picture, or the folder of pictures, cannot be used."""


class ConceptError(PseudowordError):
    """A concept file cannot be read, or does not fit the base model."""


class BaseModelError(PseudowordError):
    """A base model cannot be found, loaded or recognised."""


class PromptError(PseudowordError):
    """A prompt cannot be used as written, for example because its placeholder is cut off."""


class RunFolderError(PseudowordError):
    """The output folder is held by another run, or holds something that must not be overwritten."""


class StorageError(PseudowordError):
    """A file could not be written: disk full, quota, no permission."""


class TrainingError(PseudowordError):
    """Training cannot go on: no gradient, a loss that is not finite, a word without effect."""
