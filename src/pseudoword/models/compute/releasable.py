"""A frozen model that can leave memory."""

from collections.abc import Callable
from typing import Any


class Releasable:
    """A frozen model that can be freed, and is loaded again when it is used."""

    def __init__(self, load: Callable[[], Any]) -> None:
        """Hold the model that `load` gives, each time anew."""
        self._model, self._load = None, load

    @property
    def model(self) -> Any:
        """The model."""
        if self._model is None:
            self._model = self._load()
        return self._model

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory."""
        return self._model is not None

    def release(self) -> None:
        """Free it."""
        self._model = None
