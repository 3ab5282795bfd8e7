"""A prompt and how to draw it, on one line: `a [name] --n blurry --d 7 --s 20 --l 5`.

The letters are those of kohya's sample prompts.
"""

import re
from dataclasses import dataclass
from typing import Any

from pseudoword.errors import SettingsError

_LETTERS: dict[str, tuple[str, Any]] = {
    "n": ("negative", str),
    "d": ("seed", int),
    "w": ("width", int),
    "h": ("height", int),
    "s": ("sampler_steps", int),
    "l": ("guidance", float),
    "ss": ("scheduler", str),
}


@dataclass(frozen=True)
class PromptLine:
    """One picture to draw; what is None is left to the caller."""

    prompt: str
    negative: str = ""
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    sampler_steps: int = 25
    guidance: float | None = None
    scheduler: str | None = None


def parse(line: str) -> PromptLine:
    """Read one line.

    Raises:
        SettingsError: a letter is unknown, or its value is none.
    """
    prompt, *options = re.split(r"(?:^|\s+)--(?=[a-z]{1,2}\b)", line)
    given: dict[str, Any] = {}
    for option in options:
        letter, _, value = option.partition(" ")
        value = value.strip()
        if letter not in _LETTERS:
            known = ", ".join(f"--{one} {name}" for one, (name, _) in _LETTERS.items())
            raise SettingsError(f"--preview {line!r}: no --{letter}; there are {known}")
        name, kind = _LETTERS[letter]
        try:
            given[name] = kind(value)
        except ValueError:
            raise SettingsError(f"--preview {line!r}: --{letter} {value} is no number") from None
        if kind is not str and given[name] < (1 if name != "guidance" and name != "seed" else 0):
            raise SettingsError(f"--preview {line!r}: --{letter} {value} is too small")
    return PromptLine(prompt.strip(), **given)
