"""Progress of long work. Commands show it; the functions of `api` are silent by default."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from pseudoword.text import visible

Note = Callable[[str], None]
"""What is called with a sentence that the user should know: `Progress.note`, for example."""


@runtime_checkable
class Progress(Protocol):
    """Shows what is going on. All methods return quickly and never raise."""

    def phase(self, text: str) -> None:
        """A phase begins that takes a while."""
        ...

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """`done` of `total` steps of the current phase are done."""
        ...

    def note(self, text: str) -> None:
        """The user should know this."""
        ...


class Silent:
    """Shows nothing."""

    def phase(self, text: str) -> None:
        """Nothing."""

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Logged(Silent):
    """What the user should know goes to the log `pseudoword`, which Python prints by default."""

    def note(self, text: str) -> None:
        """A warning."""
        logging.getLogger("pseudoword").warning("%s", visible(text))


class PassedOn:
    """Passes everything on to another `Progress`; subclasses change a part of it."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner

    def phase(self, text: str) -> None:
        """Passed on."""
        self._inner.phase(text)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Passed on."""
        self._inner.advance(done, total, detail)

    def note(self, text: str) -> None:
        """Passed on."""
        self._inner.note(text)


def is_watched(progress: Progress) -> bool:
    """Whether what passes it on ends with somebody who sees the phases, and not with a log."""
    while isinstance(progress, PassedOn):
        progress = progress._inner
    return not isinstance(progress, Logged)


class Once(PassedOn):
    """Passes each note on once: most are the same for all words."""

    def __init__(self, inner: Progress) -> None:
        super().__init__(inner)
        self._told = set[str]()

    def note(self, text: str) -> None:
        """Passed on, unless it was told before."""
        if text not in self._told:
            self._told.add(text)
            super().note(text)


Ending = Literal["done", "stopped", "failed"]
"""How the training of a word ends."""


class EachWord(Protocol):
    """Follows each word of a pack on its own; words are named by the folders of their runs."""

    def note_of(self, run: Path, text: str) -> None:
        """The user should know this of a word."""
        ...

    def soonest(self, run: Path, step: int) -> None:
        """The step after which a word ends, or may end first; the last one told counts."""
        ...

    def ended(self, run: Path, how: Ending, sentence: str) -> None:
        """A word has left the pack, and its folder is unlocked; `sentence` is for the user."""
        ...


class OfWord(PassedOn):
    """The progress of one word of a pack: the phases are those of the pack, the notes its own."""

    def __init__(self, pack: Progress, run: Path, each: EachWord | None) -> None:
        super().__init__(pack)
        self._run, self._each = run, each

    def note(self, text: str) -> None:
        """Passed on to whoever follows each word, or else to the pack's progress."""
        if self._each is None:
            super().note(text)
        else:
            self._each.note_of(self._run, text)
