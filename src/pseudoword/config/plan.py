"""What memory is planned for."""

from typing import Annotated, ClassVar

from pseudoword.config.fields import SIDE_PX, Samples
from pseudoword.config.settings import BaseChoice


class PlanConfig(BaseChoice):
    """What memory is planned for."""

    heading: ClassVar[str] = "Plan"

    resolution: Annotated[int | None, SIDE_PX] = None
    """Side of the pictures in pixels; by default the model's own."""

    batch: Samples = 1
    """Samples per step."""
