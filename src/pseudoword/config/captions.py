"""Settings of the sentences around the word."""

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from pseudoword.config.fields import OFTEN, Place
from pseudoword.config.settings import Idle, Settings


class CaptionSettings(Settings):
    """The sentences the word is learned in."""

    heading: ClassVar[str] = "Captions"

    idle: ClassVar = {
        "shuffle_tags": Idle(
            "where all tags are left out", lambda s: s.drop_caption == 1 or s.drop_tags == 1
        ),
        "drop_tags": Idle("beside --drop-caption 1", lambda s: s.drop_caption == 1),
        "keep_tags": Idle(
            "without --shuffle-tags or --drop-tags",
            lambda s: not (s.shuffle_tags or s.drop_tags),
        ),
    }

    template: Annotated[Place, OFTEN] = "subject"
    """Sentences to learn in: subject, style, minimal, captioned, or a file. It has one a line."""

    shuffle_tags: bool = False
    """Put the tags of [filewords], which commas part, in a new order each time."""

    drop_tags: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Leave each tag of [filewords] out with this probability."""

    keep_tags: Annotated[int, Field(ge=0, le=1000)] = 0
    """The first so many tags are neither moved nor left out one by one."""

    drop_caption: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Leave all of [filewords] out with this probability; the word itself always stays."""

    @field_validator("template")
    @classmethod
    def _one_name(cls, template: str) -> str:
        return "subject" if template == "object" else template
