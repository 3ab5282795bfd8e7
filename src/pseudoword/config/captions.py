"""Settings of the sentences around the word."""

from typing import ClassVar

from pseudoword.config.settings import Settings


class CaptionSettings(Settings):
    """The sentences the word is learned in."""

    heading: ClassVar[str] = "Captions"

    template: str = "object"
    """Sentences to learn in: object, style, minimal, captioned, or a file with one per line."""
