"""What all settings share: how they are checked, and how a mistake in them is told."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pseudoword.config.fields import check_text, flag
from pseudoword.config.other_trainers.aliases import names_of, synonyms_of
from pseudoword.errors import SettingsError
from pseudoword.text import brief, nearest, visible

Where = Path | str
"""A file of settings, or a place in one, as messages name it."""


class Idle(NamedTuple):
    """When a setting that was given has no effect."""

    why: str
    """the end of a sentence: `without --crop random`"""
    when: Callable[[Any], bool]
    """of all settings together"""


class Settings(BaseModel):
    """Base of all settings; a group of them is a class, and the docstring of a field its help."""

    heading: ClassVar[str] = "Settings"
    """What the command line and pages call the group."""

    idle: ClassVar[Mapping[str, Idle]] = {}
    """Fields of this class that have no effect beside certain other settings."""

    instead: ClassVar[Mapping[str, str]] = {}
    """Settings of other trainers that there are none of here -> what to do instead."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def check(cls, **values: Any) -> Self:
        """Build from loose values.

        Raises:
            SettingsError: a value is wrong; the message names the flag and what it takes.
        """
        return cls._checked(cls.own_names(values), {})

    @classmethod
    def own_names(cls, values: Mapping[str, Any], file: Where | None = None) -> dict[str, Any]:
        """`values` with our names of settings, and our words for their values.

        Args:
            values: what was given, by any names.
            file: the file that it stands in, if any.

        Raises:
            SettingsError: one setting is given by two names.
        """
        known, synonyms = names_of(cls), synonyms_of(cls)
        called: dict[str, str] = {}
        for name in values:
            own = known.get(name, name)
            if own in called:
                two = (called[own], name)
                first, second = two if file else map(flag, two)
                where = f"{visible(file)}: " if file else ""
                raise SettingsError(
                    f"{where}{first} and {second} are two names of one setting. Give one of them."
                )
            called[own] = name
        found = {}
        for own, name in called.items():
            value = values[name]
            words = synonyms.get(own, {})
            field = cls.model_fields.get(own)
            if isinstance(value, Iterator) and field and get_origin(field.annotation) is tuple:
                value = tuple(value)  # what ends it is the caller's, so pydantic must not catch it
            found[own] = words.get(value, value) if isinstance(value, str) else value
        return found

    @model_validator(mode="before")
    @classmethod
    def _by_own_names(cls, values: Any) -> Any:
        return cls.own_names(values) if isinstance(values, Mapping) else values

    @classmethod
    def _checked(
        cls,
        values: Mapping[str, Any],
        said_in: Mapping[str, Where],
        missing_in: Where | None = None,
    ) -> Self:
        """Build from `values`; those that a file said, or did not say, are told with its name."""
        try:
            return cls(**values)
        except ValidationError as error:
            found: dict[str, list[Any]] = {}
            for one in error.errors(include_url=False):
                found.setdefault(str(one["loc"][0]) if one["loc"] else "", []).append(one)
            raise SettingsError(
                "\n".join(
                    _explained(
                        cls,
                        name,
                        values.get(name),
                        errors,
                        said_in.get(name) if name in values else missing_in,
                    )
                    for name, errors in found.items()
                )
            ) from error

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what no setting takes: text that cannot be written, true or false for a number.

        A number of numpy is that number, and where several values may be, one is one of them.
        """
        name = str(info.field_name)
        if isinstance(value, Number) and hasattr(value, "item"):
            value = value.item()
        is_one = isinstance(value, str | bytes) or not isinstance(value, Iterable)
        if is_one and get_origin(cls.model_fields[name].annotation) is tuple:
            value = (value,)
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, str | Path):
                check_text(flag(name), str(part))
            if isinstance(part, bool) and cls.model_fields[name].annotation is not bool:
                raise SettingsError(f"{flag(name)} is no switch: it does not take {part}")
        return value

    def check_there(self) -> None:
        """Check that what the settings name is there, as far as nothing need be loaded for it.

        A command asks this before it imports torch, which takes seconds.

        Raises:
            PseudowordError: it is not there.
        """

    def without_effect(self) -> list[str]:
        """A sentence for each setting that was given but, beside the others, changes nothing."""
        rules = {
            name: rule
            for kind in reversed(type(self).__mro__)
            for name, rule in vars(kind).get("idle", {}).items()
        }
        return [
            f"{_written(name, getattr(self, name))} has no effect {rule.why}"
            for name, rule in rules.items()
            if name in self.model_fields_set and rule.when(self)
        ]


_SHOULD = {
    "tuple_type": "be a list",
    "path_type": "be a path",
    "string_type": "be a text",
    "bool_type": "be true or false",
    "bool_parsing": "be true or false",
    "int_from_float": "be a valid integer",
}
"""Kind of a mistake of pydantic's -> what a value should be, in words for any reader."""


def _explained(
    kind: type[Settings], name: str, given: object, errors: Sequence[Any], file: Where | None
) -> str:
    """What is wrong with one setting: in words of ours where a validator of ours found it."""
    own = [e["ctx"]["error"] for e in errors if "error" in e.get("ctx", {})]
    own = [error for error in own if isinstance(error, SettingsError)]
    if own:
        return f"{visible(file)}: {own[0]}" if file else str(own[0])
    where = brief(flag(name)) if name else "settings"
    if file:
        where = f"{visible(file)}: {brief(name) or repr(name)}"
    if name not in kind.model_fields:
        if advice := kind.instead.get(name):
            return f"{brief(where)}: there is no such setting; {advice}"
        alike = nearest(name, [*kind.model_fields, *names_of(kind)])
        meant = f"; did you mean {alike if file else flag(alike)}?" if alike else ""
        return f"{where}: there is no such setting{meant}"
    if errors[0]["type"] == "missing":
        asked = str(kind.model_fields[name].description).partition(". ")[0].rstrip(".")
        return f"{where} is missing. Give {asked[0].lower()}{asked[1:]}."
    errors = [one for one in errors if one["type"] != "too_short"] or errors
    said = (
        _SHOULD.get(error["type"]) or re.sub(r"^\w+ should ", "", error["msg"]) for error in errors
    )
    if isinstance(given, list | tuple) and len(given) == 1:
        (given,) = given
    told = dict.fromkeys(re.split(", unable| after validation", text)[0] for text in said)
    return f"{where}: should {' or '.join(told)}, got {brief(given)}"


def _written(name: str, value: object) -> str:
    """A setting as on the command line, where a switch is its name alone."""
    if isinstance(value, bool):
        return flag(name) if value else flag(f"no_{name}")
    several = ", ".join(map(str, value)) if isinstance(value, tuple) else value
    return f"{flag(name)} {brief(several)}"


def group_of(kind: type[Settings], field: str) -> str:
    """The heading under which `field` of `kind` is shown: that of the class which declares it."""
    owner = next(c for c in kind.__mro__ if field in inspect.get_annotations(c))
    return str(owner.heading)  # type: ignore[attr-defined]
