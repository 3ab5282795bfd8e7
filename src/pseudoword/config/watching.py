"""Settings of what a run shows and keeps; none changes what is learned."""

from typing import Annotated, ClassVar

from pydantic import Field

from pseudoword.config.settings import Settings


class WatchSettings(Settings):
    """What is shown and kept on the way."""

    heading: ClassVar[str] = "Seeing and saving"

    preview: tuple[str, ...] = ("a photo of [name]",)
    """Prompt to preview the finished word with; [name] stands for it. May be repeated."""

    word_in_preview: bool = True
    """Put the word into the preview pictures, so that each can be used as an embedding."""

    checkpoint_every: Annotated[int, Field(ge=1)] = 25
    """Save the state every so many steps."""
