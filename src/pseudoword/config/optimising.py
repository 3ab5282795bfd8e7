"""Settings of the optimiser."""

from typing import Annotated, ClassVar

from pydantic import Field

from pseudoword.config.settings import Settings


class OptimiserSettings(Settings):
    """How the word is learned."""

    heading: ClassVar[str] = "Optimisation"

    steps: Annotated[int, Field(ge=1)] = 300
    """How many optimiser steps."""

    batch: Annotated[int, Field(ge=1)] = 4
    """Samples per step."""

    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5e-3
    """Learning rate of AdamW."""

    clip_norm: Annotated[float | None, Field(gt=0)] = 1.0
    """Gradients longer than this are shortened to it."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Same seed, settings and machine: same word."""
