"""Learning rates as people write them: `5e-3`, `50%`, `0.005:100, 1e-3:1000, 1e-5`, or `auto`.

The text of rates and last steps is AUTOMATIC1111's.
"""

import math
import re
from dataclasses import dataclass, field, replace
from typing import Annotated, Self

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from pseudoword.config.fields import AS_WRITTEN, AUTO, Auto
from pseudoword.errors import SettingsError
from pseudoword.text import brief

_DECIMAL = re.compile(r"\d+\.?\d*|\.\d+")


@dataclass(frozen=True)
class Rate:
    """One learning rate."""

    value: float
    """above 0 and finite"""
    last_step: float = math.inf
    """the last step it holds for, counted from 1; infinite: to the end"""
    percent: bool = False
    """whether `value` is a percentage of the size of a usual number in the vocabulary's rows"""

    def __str__(self) -> str:
        """As `Rates.parse` reads it."""
        end = "" if math.isinf(self.last_step) else f":{self.last_step:.0f}"
        return f"{self.value!r}{'%' if self.percent else ''}{end}"


@dataclass(frozen=True)
class Rates:
    """Learning rates, one after the other."""

    each: tuple[Rate, ...]
    """at least one; their last steps grow"""
    text: str = field(compare=False)
    """as it was written"""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rate, or rates that each have the last step they hold for.

        A rate without a step, or with -1, holds to the end, as in AUTOMATIC1111.

        Raises:
            SettingsError: it is neither; the message says which part.
        """
        found: list[Rate] = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            rate = _parse_one(part, text)
            if found and rate.last_step <= found[-1].last_step:
                raise SettingsError(
                    f"--lr {brief(text)}: {brief(part)} does not come after step "
                    f"{found[-1].last_step:.0f}"
                )
            found.append(rate)
        if not found:
            raise _unreadable(text, text)
        return cls(tuple(found), text)

    @property
    def percent(self) -> bool:
        """Whether any of them is a percentage."""
        return any(rate.percent for rate in self.each)

    @property
    def last_step(self) -> float:
        """The last step there is a rate for; infinite if the last rate holds to the end."""
        return self.each[-1].last_step

    def at(self, step: int) -> float:
        """The rate of `step`, counted from 0; after the last step it stays what it was."""
        return next((r.value for r in self.each if step < r.last_step), self.each[-1].value)

    def absolute(self, usual: float) -> "Rates":
        """The same rates, with percentages taken of `usual`, to three digits."""
        if not self.percent:
            return self
        each = tuple(
            replace(rate, value=float(f"{rate.value / 100 * usual:.3g}"), percent=False)
            if rate.percent
            else rate
            for rate in self.each
        )
        return Rates(each, ", ".join(map(str, each)))

    def __str__(self) -> str:
        """As it was written."""
        return self.text


def _parse_one(part: str, text: str) -> Rate:
    number, _, last = (piece.strip() for piece in part.partition(":"))
    percent = number.endswith("%")
    if percent:
        number = number[:-1].rstrip()
        if not _DECIMAL.fullmatch(number):
            raise _unreadable(text, part)
    try:
        value = float(number)
        last_step = math.inf if last in {"", "-1"} else int(last)
    except ValueError:
        raise _unreadable(text, part) from None
    if not (value > 0 and math.isfinite(value)):
        raise SettingsError(f"--lr: a rate must be above 0 and finite, got {brief(part)}")
    if last_step <= 0:
        raise _unreadable(text, part)
    return Rate(value, last_step, percent)


def _unreadable(text: str, part: str) -> SettingsError:
    return SettingsError(
        f"--lr: {brief(repr(part))} in {brief(repr(text))} is no rate. Give a number such as 5e-3 "
        'or 50%, rates with their last steps such as "0.005:100, 1e-3:1000, 1e-5", or auto.'
    )


def _read(value: object) -> Rates | Auto:
    if isinstance(value, Rates | Auto):
        return value
    if value == AUTO:
        return AUTO
    if isinstance(value, int | float):
        value = brief(value)  # Python does not write numbers of thousands of digits
    if isinstance(value, str):
        return Rates.parse(value)
    raise PydanticCustomError("rates", "Input should be a number, rates as text, or auto")


LearningRate = Annotated[
    Rates | Auto, PlainValidator(_read, json_schema_input_type=float | str), AS_WRITTEN
]
"""Rates, or `AUTO`; written to a file as the user wrote it."""
