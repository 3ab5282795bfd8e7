"""Whether the arguments of a public function are of the types that it declares.

Fields of settings are checked by the classes in `config`; this is for what functions take beside
them, so that a wrong one is named where it was given, not where something inside stumbles over it.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, wraps
from numbers import Integral
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from pseudoword.errors import SettingsError
from pseudoword.text import brief

P = ParamSpec("P")
R = TypeVar("R")

WIDER: dict[object, type | tuple[type, ...]] = {Path: os.PathLike, int: Integral}
"""Type -> what else works in its place, such as numpy's integers."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which raises a `SettingsError` that names an argument of another type."""
    signature = inspect.signature(function)
    hints = cache(lambda: get_type_hints(function))

    @wraps(function)
    def with_checked_arguments(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python's own error names the function
        for name, value in bound.arguments.items():
            kind, hint = signature.parameters[name].kind, hints()[name]
            if kind is inspect.Parameter.VAR_POSITIONAL:
                hint = Sequence[hint]  # type: ignore[valid-type]
            if kind is not inspect.Parameter.VAR_KEYWORD and not _fits(value, hint):
                raise SettingsError(
                    f"{function.__name__}: {name} is {_told(value)}, but must be {_names(hint)}."
                    f"{_has(value, hint)}"
                )
        return function(*args, **kwargs)

    return with_checked_arguments


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is of a type: a class, a union, or a sequence or an iterable of one."""
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    of = get_origin(hint)
    if of is None:
        # A class is not what its instances are, also where a protocol asks for methods only.
        is_class = isinstance(value, type)
        is_bool = isinstance(value, bool) and hint is not bool
        return isinstance(value, WIDER.get(hint, hint)) and not is_class and not is_bool
    if isinstance(value, str | bytes) or not isinstance(value, of):
        return False
    if of is Mapping and isinstance(value, Mapping):  # of names, as those of arguments
        return all(isinstance(name, str) for name in value)
    (item,) = get_args(hint)
    # Only a sequence can be looked at twice.
    return not isinstance(value, Sequence) or all(_fits(one, item) for one in value)


def _has(value: object, hint: Any) -> str:
    """Which part of a result is of the type: `word.concept`, where `word` was given."""
    if not isinstance(value, type):
        for name in ("concept", "folder", "path"):
            if _fits(getattr(value, name, None), hint) and getattr(value, name, None) is not None:
                return f" Give its `{name}`."
    return ""


def _told(value: object) -> str:
    """A value as a message names it."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, str | bytes | int | float | list | tuple | dict):
        return brief(repr(value), 60)
    return f"of type {type(value).__name__}"


def _names(hint: Any) -> str:
    """The types of a hint: `str, Path or several of them`."""
    *most, last = _each(hint)
    return f"{', '.join(most)} or {last}" if most else last


def _each(hint: Any) -> Iterator[str]:
    if get_origin(hint) in (Union, UnionType):
        parts = get_args(hint)
        several = [one for one in parts if get_origin(one) in (Sequence, Iterable)]
        for one in (one for one in parts if get_origin(one) is None):
            yield "None" if one is NoneType else one.__name__
        yield from ("dict" for one in parts if get_origin(one) is Mapping)
        yield from ("several of them" for _ in several)
    elif get_origin(hint) is None:
        yield hint.__name__
    else:
        yield f"several {_names(get_args(hint)[0])}"
