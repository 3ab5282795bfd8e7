"""What long work says while it runs. Commands show it; a library call stays silent."""

from typing import Protocol


class Progress(Protocol):
    """Told what is going on; all methods return quickly and never raise."""

    def phase(self, text: str) -> None:
        """Something begins that the user will wait for."""
        ...

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """`done` of `total` in the current phase."""
        ...

    def note(self, text: str) -> None:
        """Something the user should know."""
        ...


class Silent:
    """Says nothing."""

    def phase(self, text: str) -> None:
        """Nothing."""

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""
