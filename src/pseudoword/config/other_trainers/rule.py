"""What a setting of another trainer's file says here: the kinds of rules there are."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pseudoword.config.other_trainers.elsewhere import INSTEAD

Object = Mapping[str, Any]
Told = Mapping[str, Any] | str | None
"""Our settings; or what to do instead, "" if nothing is known; or None, if there is nothing to
say."""


class Leaf(NamedTuple):
    """A setting in a file."""

    parent: str
    """the name of what it stands in; empty for the file itself"""
    name: str
    value: Any
    beside: Object
    """the settings that stand beside it"""


Rule = Callable[[Leaf], Told]


def each(value: Any) -> list[Any]:
    """One value, or several; whole numbers without a point, as options take them."""
    values = value if isinstance(value, list) else [value]
    return [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]


def taken_as(name: str) -> Rule:
    """It is our setting of that name, where it is not zero."""
    return lambda leaf: {name: leaf.value} if leaf.value else None


def switch(name: str, value: Any) -> Rule:
    """It is a switch, and our setting has this value where it is on."""
    return lambda leaf: {name: value} if leaf.value else None


def nothing(_leaf: Leaf) -> None:
    """Nothing to say: it is so here, or has to do with other kinds of training."""


def told_of(name: str, usual: object = None) -> Rule:
    """As of that setting of another trainer, unless it has its `usual` value there."""
    return lambda leaf: INSTEAD[name] if leaf.value and leaf.value != usual else None


def one_of(name: str, instead: str, values: Mapping[str, Any]) -> Rule:
    """One of several words; `instead` names the setting whose advice is told of other ones."""

    def told(leaf: Leaf) -> Told:
        word = str(leaf.value).lower()
        if word not in values:
            return INSTEAD[instead]
        return None if values[word] is None else {name: values[word]}

    return told
