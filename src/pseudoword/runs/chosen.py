"""`chosen.json`: the values that a run has chosen for settings that leave it the choice."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, PlainSerializer, PlainValidator

from pseudoword.config.rates import Rates
from pseudoword.training.importance import PARTS


def _check_length(density: tuple[float, ...]) -> tuple[float, ...]:
    """Check that there is one number for each part of the timesteps."""
    if len(density) not in {0, PARTS}:
        raise ValueError(f"has {len(density)} numbers, not {PARTS}")
    return density


def _one_rate(value: object) -> Rates:
    """A single absolute learning rate, read from text."""
    rates = Rates.parse(value) if isinstance(value, str) else value
    if not isinstance(rates, Rates) or len(rates.each) != 1 or rates.percent:
        raise ValueError("is not one rate")
    return rates


Part = Annotated[float, Field(gt=0, le=1)]


class Chosen(BaseModel, extra="forbid", frozen=True):
    """The values that were chosen; None: not chosen."""

    init: str | None = None
    """the word that fits the pictures best; for `--init-mode nearest`"""
    density: Annotated[tuple[Part, ...], AfterValidator(_check_length)] | None = None
    """how often each part of the timesteps is sampled; for `--timestep-sampling importance`"""
    lr: Annotated[Rates, PlainValidator(_one_rate), PlainSerializer(str)] | None = None
    """the learning rate that the learning-rate finder chose"""
    tried: tuple[tuple[float, float], ...] | None = None
    """the learning rates that it tried, with their evaluation losses"""
