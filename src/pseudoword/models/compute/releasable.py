"""A frozen model that can leave memory."""

from collections.abc import Callable
from typing import Any


class Releasable:
    """A frozen model that can be freed, and is loaded again when it is used."""

    def __init__(self, model: Any, load: Callable[[], Any] | None = None) -> None:
        """Hold `model`; `load` gives it again. Without `load`, it stays."""
        self._model, self._load = model, load

    @property
    def model(self) -> Any:
        """The model."""
        if self._model is None:
            assert self._load is not None
            self._model = self._load()
        return self._model

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory."""
        return self._model is not None

    def release(self) -> None:
        """Free it, if it can be loaded again."""
        if self._load is not None:
            self._model = None
