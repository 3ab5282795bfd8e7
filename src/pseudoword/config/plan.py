"""What memory is planned for."""

from typing import Annotated, ClassVar

from pydantic import Field

from pseudoword.config.settings import BaseChoice


class PlanConfig(BaseChoice):
    """What memory is planned for."""

    heading: ClassVar[str] = "Plan"

    resolution: Annotated[int | None, Field(ge=8)] = None
    """Side of the pictures in pixels; by default the model's own."""

    batch: Annotated[int, Field(ge=1)] = 1
    """Samples per step."""
