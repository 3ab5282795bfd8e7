"""`bases`: the base models that come with the package."""

from pydantic import BaseModel

from pseudoword.config import BaseChoice
from pseudoword.config.base_choice import BUNDLED
from pseudoword.models import detection

LICENCE = "Apache-2.0 (weights); see ATTRIBUTION.md for the artwork"


class Base(BaseModel):
    """A base model that can be named."""

    name: str
    path: str
    family: str
    licence: str


def bundled_bases() -> list[Base]:
    """Describe the bundled models; the public `bases`."""
    described = []
    for name, path in BUNDLED.items():
        family = detection.detect(BaseChoice(base=name)).family
        described.append(Base(name=name, path=str(path), family=family, licence=LICENCE))
    return described
