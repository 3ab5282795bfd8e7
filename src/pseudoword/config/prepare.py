"""What `prepare` needs to know: all that decides how pictures and captions are seen."""

from typing import ClassVar

from pseudoword.config.base_choice import BaseChoice
from pseudoword.config.captions import CaptionSettings
from pseudoword.config.fields import Seed
from pseudoword.config.pictures import PictureSettings
from pseudoword.config.settings import Idle


class PrepareConfig(CaptionSettings, PictureSettings, BaseChoice):
    """How pictures and captions will be seen."""

    heading: ClassVar[str] = "Contact sheet"

    idle: ClassVar = {"seed": Idle("without --crop random", lambda s: s.crop != "random")}

    seed: Seed = 0
    """Seed of random crops; use that of train."""
