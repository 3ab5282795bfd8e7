"""What holds for all threads of a process while one of them needs it."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ContextDecorator, ExitStack, contextmanager
from importlib import import_module
from threading import Lock


class ProcessWide(ContextDecorator):
    """A context that changes something of the whole process, and puts it back at its end.

    Several threads may be in it at once: the first one opens it, and the last one closes it. If
    each had its own, one would put back what another one had changed.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[object]]) -> None:
        self._make, self._stack = make, ExitStack()
        self._lock, self._inside = Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._stack.enter_context(self._make())
            self._inside += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._stack.close()


without_warnings = ProcessWide(lambda: warnings.catch_warnings(action="ignore"))
"""A context in which libraries do not warn, for example of damaged EXIF data."""


NOTICES = ("transformers.utils.import_utils", "bitsandbytes")
"""What logs, when libraries are imported, that packages are missing which nobody needs."""


@contextmanager
def _no_notices() -> Iterator[None]:
    if "IPython" in sys.modules:
        with warnings.catch_warnings(action="ignore"):
            import_module("tqdm.auto")  # without ipywidgets it asks for them: nothing needs them
    levels = {logger: logger.level for logger in map(logging.getLogger, NOTICES)}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


without_notices = ProcessWide(_no_notices)
"""A context in which `NOTICES` log errors only."""
