"""How the learning rate goes over a run: plain functions of the step, so a resume needs no state.

The string of rates and last steps is AUTOMATIC1111's; warm-up and the two falls are the usual ones.
"""

import math
import re
from dataclasses import dataclass

from pseudoword.errors import SettingsError

AUTO = "auto"
PERCENT = re.compile(r"(?<!\d)(\d++\.?+\d*+|\.\d++)\s*+%")


@dataclass(frozen=True)
class Schedule:
    """A rate for every step.

    Attributes:
        pairs: (rate, the last step it holds for, counted from 1); the last pair holds to the end.
        shape: `constant`, or how the rate falls to nothing at the end: `linear`, `cosine`.
        warmup: steps over which the rate rises to its full size.
        steps: of the whole run.
    """

    pairs: tuple[tuple[float, float], ...]
    shape: str
    warmup: int
    steps: int

    def __call__(self, step: int) -> float:
        """The rate of `step`, counted from 0."""
        rate = next((r for r, last in self.pairs if step < last), self.pairs[-1][0])
        if step < self.warmup:
            return rate * (step + 1) / self.warmup
        if self.shape == "constant":
            return rate
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return rate * (1 - done if self.shape == "linear" else (1 + math.cos(math.pi * done)) / 2)


def pairs(text: str) -> tuple[tuple[float, float], ...]:
    """Read `5e-3`, or `0.005:100, 1e-3:1000, 1e-5`: rates, each with the last step it holds for.

    A pair without a step, or with -1, holds to the end, as in AUTOMATIC1111.

    Raises:
        SettingsError: it is neither; the message says which part.
    """
    found: list[tuple[float, float]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        rate_text, _, step_text = part.partition(":")
        try:
            rate = float(rate_text)
            last = math.inf if step_text.strip() in {"", "-1"} else int(step_text)
        except ValueError:
            raise _unreadable(text, part) from None
        if not (rate > 0 and math.isfinite(rate)):
            raise SettingsError(f"--lr: a rate must be above 0 and finite, got {part!r}")
        if found and last <= found[-1][1]:
            raise SettingsError(f"--lr {text!r}: {part!r} does not come after step {found[-1][1]}")
        if last <= 0:
            raise _unreadable(text, part)
        found.append((rate, last))
    if not found:
        raise _unreadable(text, text)
    return tuple(found)


def absolute(text: str, usual: float) -> str:
    """The same rates as `pairs` reads them, from text in which some are percentages of `usual`."""
    return PERCENT.sub(lambda found: f"{float(found[1]) / 100 * usual:.3g}", text)


def end(text: str) -> float:
    """The last step that `text` has a rate for; infinite if the last rate holds to the end."""
    return pairs(absolute(text, usual=1))[-1][1]


def _unreadable(text: str, part: str) -> SettingsError:
    return SettingsError(
        f"--lr: {part!r} in {text!r} is no rate. Give a number such as 5e-3 or 50%, rates with "
        "their last steps such as '0.005:100, 1e-3:1000, 1e-5', or auto."
    )
