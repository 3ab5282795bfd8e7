"""What `prepare` needs to know: all that decides how pictures and captions are seen."""

from typing import Annotated, ClassVar

from pydantic import Field

from pseudoword.config.captions import CaptionSettings
from pseudoword.config.pictures import PictureSettings
from pseudoword.config.settings import BaseChoice


class PrepareConfig(CaptionSettings, PictureSettings, BaseChoice):
    """How pictures and captions will be seen."""

    heading: ClassVar[str] = "Looking"

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of random crops: the one you will train with."""
