"""What a setting and its values are called in other trainers.

Any of them is taken wherever a setting is given: on the command line, as a keyword in Python, and
in a file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from pydantic import BaseModel

Mark = TypeVar("Mark")


class Alias:
    """Names that a setting has in other trainers, as in `Annotated[int, Alias("batch_size")]`."""

    def __init__(self, *names: str) -> None:
        self.names = names


@dataclass(frozen=True)
class Synonyms:
    """What other trainers write for a value -> what is written here."""

    values: Mapping[str, str]


@cache
def names_of(kind: type[BaseModel]) -> Mapping[str, str]:
    """Any other name of a field of `kind` -> the field."""
    return {name: field for field, alias in _marks(kind, Alias) for name in alias.names}


@cache
def synonyms_of(kind: type[BaseModel]) -> Mapping[str, Mapping[str, str]]:
    """Field of `kind` -> other words for its values."""
    return {field: one.values for field, one in _marks(kind, Synonyms)}


def _marks(kind: type[BaseModel], mark: type[Mark]) -> Iterator[tuple[str, Mark]]:
    for name, field in kind.model_fields.items():
        for one in field.metadata:
            if isinstance(one, mark):
                yield name, one
