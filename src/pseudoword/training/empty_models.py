"""Base models without numbers, whose memory is counted: they are built once for many plans.

A page asks for a plan after each change of a control. Most of what it needs was counted before, and
what was not, is counted with the parts that are there.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.detection import Detected
from pseudoword.models.family import Family
from pseudoword.models.loading.source import BaseSource, Placement

MOST_MODELS = 2
"""So many are kept: the parts of one take some MB."""

MOST_COUNTED = 200
"""So many results are kept of each."""

T = TypeVar("T")

_kept: "dict[Hashable, EmptyModel]" = {}
_lock = Lock()


class EmptyModel:
    """A base model without numbers, and what was counted of it."""

    def __init__(self, found: Detected, place: Placement) -> None:
        """Build it.

        Raises:
            BaseModelError: it cannot be built.
        """
        self._found, self._place = found, place
        self._counted: dict[Hashable, Any] = {}
        self.family = base_model.build(found, place)
        """for its parts and its sizes; it never computes"""

    def as_built(self) -> Family:
        """The model as if it had just been built: it has computed nothing yet."""
        if self.family.keeps_tables:
            return base_model.build(self._found, self._place)
        return self.family.sharing_parts()

    def once(self, what: Hashable, count: Callable[[], T]) -> T:
        """What `count` gives for `what`, or gave before."""
        if what not in self._counted:
            if len(self._counted) >= MOST_COUNTED:
                self._counted.clear()
            self._counted[what] = count()
        return cast(T, self._counted[what])


@contextmanager
def lent(found: Detected, place: Placement) -> Iterator[EmptyModel]:
    """A model for one thread alone, which is kept for the next plan.

    Not if counting fails half-way. A size that does not work is found before, and on a page each
    key that is pressed may give one.

    Raises:
        BaseModelError: it cannot be built.
    """
    source = found.source
    asked = (found.family, repr(source), place, _files_of(source))
    with _lock:
        model = _kept.pop(asked, None)
    if model is None:
        model = EmptyModel(found, place)
    try:
        yield model
    except SettingsError:
        _keep(asked, model)
        raise
    _keep(asked, model)


def _keep(asked: Hashable, model: EmptyModel) -> None:
    with _lock:
        _kept[asked] = model
        while len(_kept) > MOST_MODELS:
            del _kept[next(iter(_kept))]


def forget() -> None:
    """Keep no models any more."""
    with _lock:
        _kept.clear()


def _files_of(source: BaseSource) -> Hashable:
    """What tells a model's configs from those that replace them: sizes and times, or a commit."""
    place = source.layout or source.path
    folder = Path(place)
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        index = try_to_load_from_cache(place, "model_index.json", revision=source.revision)
        return index if isinstance(index, str) else None
    found = []
    for file in sorted(chain(folder.glob("*"), folder.glob("*/*"))):
        with suppress(OSError):
            stat = file.stat()
            found.append((str(file), stat.st_size, stat.st_mtime_ns))
    return tuple(found)
