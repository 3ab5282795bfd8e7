"""A prompt and how to draw it, on one line: `a [name] --n blurry --d 7 --s 20 --l 5`.

The letters are those of kohya's sample prompts. Several lines may be in a file.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from pseudoword import lookup
from pseudoword.config.fields import AS_WRITTEN, GUIDANCE, SIDE_PX, SamplerSteps, Seed, parsed
from pseudoword.config.other_trainers.samples import lines_of_file
from pseudoword.errors import SettingsError
from pseudoword.files import read_regular
from pseudoword.text import brief, decode_text, reason

MOST_NBYTES = 1 << 20
"""A larger file of prompts is not read."""

_LETTERS: dict[str, tuple[str, Any]] = {
    "n": ("negative", str),
    "d": ("seed", Seed),
    "w": ("width", Annotated[int, SIDE_PX]),
    "h": ("height", Annotated[int, SIDE_PX]),
    "s": ("sampler_steps", SamplerSteps),
    "l": ("guidance", Annotated[float, GUIDANCE]),
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
    sampler_steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    text: str = field(default="", compare=False)
    """the whole line as it was written"""

    def __str__(self) -> str:
        """As it was written."""
        return self.text


def parse(line: str) -> PromptLine:
    """Read one line.

    Raises:
        SettingsError: a letter is unknown or given twice, or its value is none.
    """
    prompt, *options = re.split(r"(?<!\S)--(?=(?:[a-z]{1,2}|ctr|rcfg)\b)", line)
    given: dict[str, Any] = {}
    for option in options:
        letter, _, value = option.partition(" ")
        value = value.strip()
        if letter not in _LETTERS:
            known = ", ".join(f"--{one} {name}" for one, (name, _) in _LETTERS.items())
            raise SettingsError(f"--preview {brief(line)}: no --{letter}; there are {known}")
        name, kind = _LETTERS[letter]
        if name in given:
            raise SettingsError(f"--preview {brief(line)}: --{letter} is given twice")
        try:
            given[name] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Input should ").split(", unable")[0]
            raise SettingsError(
                f"--preview {brief(line)}: --{letter} {brief(value)} should {why}"
            ) from error
    if sides := [given[name] for name in ("width", "height") if name in given]:
        given |= {"width": sides[0], "height": sides[-1]}  # with only one, it is a square
    return PromptLine(prompt.strip(), **given, text=line)


def names_file(line: str) -> bool:
    """Whether a preview is the name of a file; no prompt ends like one."""
    return Path(line).suffix.lower() in {".txt", ".toml", ".json"}


def lines_of(line: str) -> list[str]:
    """The lines of the file that a preview names, or else itself.

    Of a text, empty lines and those that begin with # are left out. TOML and JSON have the samples
    of other trainers.

    Raises:
        SettingsError: the file cannot be read, or has no prompt.
    """
    if not names_file(line):
        return [line]
    told, file = f"--preview {brief(line)}", lookup.expand_home(line)
    lookup.check_there([file], "Give a file of prompts, or a prompt.", SettingsError)
    try:
        text = decode_text(read_regular(file, MOST_NBYTES, SettingsError))
    except UnicodeError:
        raise SettingsError(f"{told}: the file is not text in UTF-8") from None
    suffix = file.suffix.lower()
    if suffix == ".txt":
        lines = [one.strip() for one in text.splitlines()]
        found = [one for one in lines if one and not one.startswith("#")]
    else:
        try:
            found = lines_of_file(text, suffix)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{told}: the file is damaged: {reason(error)}") from None
    if not found:
        how = "one on each line" if suffix == ".txt" else "them into a .txt file, one on each line"
        raise SettingsError(f"{told}: the file has no prompt. Write {how}.")
    return found


Preview = Annotated[PromptLine, parsed(PromptLine, parse), AS_WRITTEN]
"""A prompt line; written to a file as the user wrote it."""
