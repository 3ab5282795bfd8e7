"""What `prepare` needs to know: all that decides how pictures and captions are seen."""

from typing import ClassVar

from pseudoword.config.captions import CaptionSettings
from pseudoword.config.pictures import PictureSettings
from pseudoword.config.settings import BaseChoice


class PrepareConfig(CaptionSettings, PictureSettings, BaseChoice):
    """How pictures and captions will be seen."""

    heading: ClassVar[str] = "Looking"
