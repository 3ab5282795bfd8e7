"""What `prepare` needs to know: all that decides how pictures and captions are seen."""

from typing import ClassVar

from pseudoword.config.captions import CaptionSettings
from pseudoword.config.fields import Seed
from pseudoword.config.pictures import PictureSettings
from pseudoword.config.settings import BaseChoice, Idle


class PrepareConfig(CaptionSettings, PictureSettings, BaseChoice):
    """How pictures and captions will be seen."""

    heading: ClassVar[str] = "Looking"

    idle: ClassVar = {"seed": Idle("without --crop random", lambda s: s.crop != "random")}

    seed: Seed = 0
    """Of random crops: the one you will train with."""
