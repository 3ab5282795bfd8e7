"""What is wrong with several words, told together."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pseudoword.errors import PseudowordError, SettingsError
from pseudoword.text import visible


class Problems:
    """Collects what is wrong with words, so that one error tells all of it."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    @contextmanager
    def of(
        self, where: Path | str, kind: type[PseudowordError] = PseudowordError
    ) -> Iterator[None]:
        """Collect an error, if it is of this kind, about what stands at this place."""
        try:
            yield
        except kind as error:
            told, place = str(error), visible(where)
            self._lines.append(told if place in told else f"{place}: {told}")

    def raise_all(self) -> None:
        """Raise one error of all problems, if there are any."""
        if self._lines:
            raise SettingsError("\n".join(self._lines))
