"""How settings differ from those that a run was begun with."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pseudoword.config import TrainConfig, flag
from pseudoword.config.callbacks import CallbackSettings

CHANGEABLE = {"out", *CallbackSettings.model_fields}
"""Settings that may change when a run is resumed: they have no effect on the result."""


def sentences(before: TrainConfig, after: TrainConfig, shown: Callable[[object], str]) -> list[str]:
    """What has changed, for each setting that has an effect on the result.

    More `extend` is not a difference. Neither is another path where there is nothing at the old one
    any more: a checkpoint knows what it learns from by what that holds. `shown` converts a value to
    text.
    """
    values = {
        name: [_shown(getattr(settings, name), shown) for settings in (before, after)]
        for name in TrainConfig.model_fields
        if name not in CHANGEABLE
        and getattr(before, name) != getattr(after, name)
        and not (name == "extend" and after.extend > before.extend)
        and not _has_moved(*_values(name, before, after))
    }
    return [f"{flag(name)} was {old}, is {new}" for name, (old, new) in values.items()]


def _values(name: str, before: TrainConfig, after: TrainConfig) -> tuple[object, object]:
    """The values of a setting; of `also`, where its words are the same, what those start from."""
    if name != "also" or before.tokens[1:] != after.tokens[1:]:
        return getattr(before, name), getattr(after, name)
    pairs = zip(before.new_words[1:], after.new_words[1:], strict=True)
    changed = [(old.init, new.init) for old, new in pairs if old.init != new.init]
    return tuple(old for old, _ in changed), tuple(new for _, new in changed)


def _has_moved(before: object, after: object) -> bool:
    """Whether both are paths, or lists of paths, and nothing is left at those of before."""
    old, new = (value if isinstance(value, tuple) else (value,) for value in (before, after))
    paths = [*old, *new]
    are_paths = all(isinstance(one, str | Path) and Path(one).is_absolute() for one in paths)
    return are_paths and bool(old) and not any(map(os.path.lexists, old))


def _shown(value: object, shown: Callable[[object], str]) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(shown, value)) or "none"
    return shown(value)
