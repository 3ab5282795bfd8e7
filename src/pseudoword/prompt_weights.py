r"""The grammar of prompts to draw. It is AUTOMATIC1111's.

| written | means |
| --- | --- |
| `(red:1.3)` | the weight of *red* is multiplied by 1.3 |
| `(red)`, `((red))` | by 1.1, by 1.1² |
| `[red]` | by 1/1.1 |
| `\(`, `\)`, `\[`, `\]`, `\\` | the character itself |
| `BREAK` | what follows is read apart from what comes before |

A bracket that is never closed lasts to the end; one that was never opened is text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pseudoword.placeholders import split

STEP = 1.1
"""What a pair of brackets without a number multiplies by; square brackets divide."""

_SIGN = re.compile(
    r"""
    \\ (?P<literal> [()\[\]\\]? )                 # a backslash before anything else is dropped
    | : \s* (?P<weight> [+-]? (?: \d+ (?: \.\d* )? | \.\d+ ) ) \s* \)
    | (?P<bracket> [()\[\]] )
    | \b BREAK \b
    """,
    re.VERBOSE,
)
_OPENED_BY = {")": "(", "]": "["}
_STEPS = {"(": STEP, "[": 1 / STEP}


class Run(NamedTuple):
    """A stretch of a prompt that has one weight."""

    text: str
    weight: float
    is_placeholder: bool = False


@dataclass(frozen=True)
class Prompt:
    """A prompt to draw, as it is understood."""

    text: str
    """as it was written"""
    parts: tuple[tuple[Run, ...], ...]
    """what stands between `BREAK`s; at least one part"""
    unclosed: str = ""
    """the prompt from its first bracket on that is never closed"""


def has_signs(prompt: str) -> bool:
    """Whether there is anything in `prompt` that the grammar may change."""
    return bool(_SIGN.search(prompt))


def plain(prompt: str, placeholders: Iterable[str]) -> Prompt:
    """`prompt` as text without a grammar; only its placeholders are found."""
    parser = _Parser()
    for i, piece in enumerate(split(prompt, placeholders)):
        parser.add(piece, is_placeholder=i % 2 == 1)
    return Prompt(prompt, parser.parts())


def parse(prompt: str, placeholders: Iterable[str]) -> Prompt:
    """Understand `prompt`, whatever it is.

    Placeholders are found first, so that `[cat]` may be one; a weight around it is its weight too.
    """
    parser = _Parser()
    found = split(prompt, placeholders)
    for i, text in enumerate(found):
        if i % 2:
            parser.add(text, is_placeholder=True)
        else:
            parser.read(text)
    unclosed = parser.close_all()
    return Prompt(prompt, parser.parts(), "".join(found)[unclosed:] if unclosed is not None else "")


class _Piece:
    """Text, a placeholder, or a BREAK (None), whose weight grows as brackets are closed."""

    def __init__(self, text: str | None, is_placeholder: bool) -> None:
        self.text, self.is_placeholder, self.weight = text, is_placeholder, 1.0


class _Parser:
    """Reads a prompt from left to right."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._open: dict[str, list[tuple[int, int]]] = {"(": [], "[": []}
        """of each bracket: the first piece inside, and where in the prompt it stands"""
        self._at = 0
        """how much of the prompt has been read"""

    def add(self, text: str | None, *, is_placeholder: bool = False) -> None:
        """Take `text` as it is."""
        self._pieces.append(_Piece(text, is_placeholder))
        self._at += len(text or "")

    def read(self, text: str) -> None:
        """Read a stretch of the prompt that has no placeholder."""
        begin, done = self._at, 0
        for sign in _SIGN.finditer(text):
            if sign.start() > done:
                self.add(text[done : sign.start()])
            done = sign.end()
            if sign["literal"] is not None:
                self.add(sign["literal"])
            elif sign["bracket"] in {"(", "["}:
                here = begin + sign.start()
                self._open[sign["bracket"]].append((len(self._pieces), here))
            elif sign[0] == "BREAK":
                self.add(None)
            elif not self._close(_OPENED_BY[sign[0][-1]], sign["weight"]):
                self.add(sign[0])
        if done < len(text):
            self.add(text[done:])
        self._at = begin + len(text)

    def close_all(self) -> int | None:
        """Close the brackets that are still open; returns where the first of them stands."""
        where = [at for brackets in self._open.values() for _, at in brackets]
        for kind, brackets in self._open.items():
            for first, _ in brackets:
                self._multiply(first, _STEPS[kind])
        return min(where, default=None)

    def parts(self) -> tuple[tuple[Run, ...], ...]:
        """The runs between BREAKs; text of one weight is joined, as it is tokenised together."""
        parts: list[list[Run]] = [[]]
        for piece in self._pieces:
            last = parts[-1][-1] if parts[-1] else None
            if piece.text is None:
                parts.append([])
            elif piece.is_placeholder or last is None or last.is_placeholder:
                parts[-1].append(Run(piece.text, piece.weight, piece.is_placeholder))
            elif piece.weight == last.weight:
                parts[-1][-1] = last._replace(text=last.text + piece.text)
            else:
                parts[-1].append(Run(piece.text, piece.weight))
        return tuple(tuple(run for run in part if run.text) for part in parts)

    def _close(self, kind: str, weight: str | None) -> bool:
        """Close the last bracket of this kind, if one is open."""
        if not self._open[kind]:
            return False
        first, _ = self._open[kind].pop()
        self._multiply(first, _STEPS[kind] if weight is None else float(weight))
        return True

    def _multiply(self, first: int, by: float) -> None:
        for piece in self._pieces[first:]:
            piece.weight *= by
