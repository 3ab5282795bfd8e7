"""How a worker of a queue works."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from pseudoword.config.fields import OFTEN, Name, Samples
from pseudoword.config.settings import Settings
from pseudoword.errors import SettingsError

DAY_SECONDS = 86_400
"""A worker that is silent for a day is given up in any case."""


class WorkConfig(Settings):
    """How a worker of a queue works."""

    heading: ClassVar[str] = "Worker"

    pack: Annotated[Samples, OFTEN] = 8
    """How many words to learn at once."""

    lease: Annotated[float, Field(ge=0.1, le=DAY_SECONDS), OFTEN] = 60.0
    """Seconds without a sign of life, after which others take a worker's words."""

    tries: Annotated[int, Field(ge=1), OFTEN] = 3
    """How often a word may fail without getting further."""

    stay: Annotated[bool, OFTEN] = False
    """Wait for more words when all are done."""

    ray: Annotated[Name | None, OFTEN] = None
    """Let Ray start a worker for each GPU: the address of a cluster, auto, or local (needs the
    extra `fleet`)."""

    workers: Annotated[int | None, Field(ge=1), OFTEN] = None
    """With --ray: how many workers to start."""

    @model_validator(mode="after")
    def _workers_of_ray(self) -> Self:
        if self.workers is not None and self.ray is None:
            raise SettingsError("--workers has no effect without --ray. A worker is one by itself.")
        return self
