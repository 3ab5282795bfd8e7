"""Learning rates as people write them: `5e-3`, `50%`, `0.005:100, 1e-3:1000, 1e-5`, or `auto`.

The text of rates and last steps is AUTOMATIC1111's.
"""

import math
import re

from pseudoword.errors import SettingsError

AUTO = "auto"
PERCENT = re.compile(r"(?<!\d)(\d++\.?+\d*+|\.\d++)\s*+%")


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
