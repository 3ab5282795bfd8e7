"""Progress of long work. Commands show it; library calls are silent by default."""

from typing import Protocol


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
