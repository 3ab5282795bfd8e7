"""Arguments of an optimiser, as `key=value`."""

import ast
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pseudoword.config.fields import AS_WRITTEN, parsed
from pseudoword.errors import SettingsError
from pseudoword.text import brief

SET_ELSEWHERE = {
    "lr": "it is --lr",
    "params": "it is the word",
    "maximize": "the word would learn what its pictures are not",
}
"""Arguments of optimisers that are not for `--optimiser-option`, and why."""


@dataclass(frozen=True)
class OptimiserOption:
    """One argument."""

    key: str
    value: Any
    """a literal of Python, or else the text itself"""
    text: str = field(compare=False)
    """as it was written"""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `key=value`.

        Raises:
            SettingsError: it is something else, or the argument has a setting of its own.
        """
        key, equals, value = map(str.strip, text.partition("="))
        told = f"--optimiser-option {brief(text)}"
        if not (equals and value and key.isidentifier()):
            raise SettingsError(f"{told}: write it as key=value")
        if key in SET_ELSEWHERE:
            raise SettingsError(f"{told}: {key} is no option, {SET_ELSEWHERE[key]}")
        try:
            return cls(key, ast.literal_eval(value), text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return cls(key, value, text)

    def __str__(self) -> str:
        """As it was written."""
        return self.text


Option = Annotated[OptimiserOption, parsed(OptimiserOption, OptimiserOption.parse), AS_WRITTEN]
"""An argument; written to a file as the user wrote it."""
