"""Settings of the pictures a word is learned from."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from pseudoword.config.settings import Settings


class PictureSettings(Settings):
    """Which pictures, and how they are seen."""

    heading: ClassVar[str] = "Pictures"

    pictures: Annotated[tuple[Path, ...], Field(min_length=1)]
    """A folder of pictures, or several files. Three to five are enough."""

    resolution: Annotated[int | None, Field(ge=8)] = None
    """Side in pixels of the square the pictures are cut to; by default the model's own."""
