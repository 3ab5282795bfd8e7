"""Files of settings of other trainers, told as options that say the same here.

Read are kohya's TOML of data sets and of arguments, the JSON that its GUI writes, OneTrainer of a
run and of its concepts, and AUTOMATIC1111 beside its logs, and the YAML of invoke-training and
ai-toolkit.
Nothing of them is taken in silence: the user sees each setting as an option, or with what to do
instead.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_origin

from pydantic import BaseModel

from pseudoword.config.fields import flag
from pseudoword.config.other_trainers.aliases import names_of
from pseudoword.config.other_trainers.elsewhere import INSTEAD
from pseudoword.config.other_trainers.rule import Leaf, Object, Told, each, nothing
from pseudoword.config.other_trainers.rules import OBJECTS, rule_of
from pseudoword.text import brief, command, listed, visible

MOST_VALUES = 5000
"""A file with more settings is of something else. OneTrainer's have about four hundred."""

MOST_LISTED = 60
"""So many settings without a counterpart are named."""

OTHER_TRAININGS = ("lora_", "oft_", "lokr_", "layer_filter")
"""How settings begin that have to do with other kinds of training."""


def parsed(text: str, suffix: str) -> Object | None:
    """What is in a file of JSON or YAML; None if it is neither, or no settings."""
    import yaml

    try:
        found = json.loads(text) if suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        return None
    if isinstance(found, list):  # OneTrainer's concepts lie in a file of their own
        found = {"concepts": found}
    return found if isinstance(found, dict) else None


def translated(values: Object, kind: type[BaseModel]) -> str | None:
    """The command that says the same as a file of another trainer, and what it cannot say.

    Args:
        values: what is in the file.
        kind: the settings of `train`.

    Returns:
        Lines of text; None if the file is of no trainer that is known.
    """
    given: dict[str, list[Any]] = {}
    instead: dict[str, list[str]] = {}
    without: list[str] = []
    try:
        leaves = list(_leaves(values, "", iter(range(MOST_VALUES))))
    except RuntimeError:  # also RecursionError
        return None
    for leaf in leaves:
        told = _told(leaf, kind)
        if isinstance(told, str):
            names = (instead if told else {"": without}).setdefault(told, [])
            name = f"{leaf.name} {leaf.value}" if leaf.name == "type" else leaf.name
            if name not in names:
                names.append(name)
        for name, value in told.items() if isinstance(told, Mapping) else ():
            several = given.setdefault(name, [])
            several += [one for one in each(value) if one not in several]
    if not given or len(given) + len(instead) < 2:  # one may be chance
        return None
    many = {name for name in given if get_origin(kind.model_fields[name].annotation) is tuple}
    for name in [*given]:
        default = kind.model_fields[name].default
        chosen = [
            v for v in given[name] if v is not False and v != default and str(v) != str(default)
        ]
        if name not in many and chosen:
            for other in (v for v in given[name] if v is not chosen[0]):
                what = f"{flag(name)} takes one value: {brief(other)} is left out"
                instead.setdefault(what, [name])
        given[name] = chosen
    lines = [f"  {_command_of(given, many)}"]
    if instead:
        lines += ["For others there is no option:"]
        lines += [f"  {brief(', '.join(names))}: {why}" for why, names in instead.items()]
    if without:
        lines += [f"There is nothing here like {brief(listed(without, MOST_LISTED), 400)}."]
    return visible("\n".join(lines), lines=True)


def _command_of(given: Mapping[str, list[Any]], many: set[str]) -> str:
    """A command line; what stands in no option comes first."""
    words: list[object] = ["pseudoword", "train", *given.get("pictures", ())]
    for name, values in given.items():
        for value in values if name in many else values[:1]:
            if name == "pictures":
                continue
            words += [flag(name)] if value is True else [flag(name), value]
    return command(*words)


def _leaves(values: Object, parent: str, left: Iterator[int]) -> Iterator[Leaf]:
    """All settings of a file, those inside others too. What is switched off is left out.

    Raises:
        RuntimeError: nothing is `left`; YAML may name one value in thousands of places.
    """
    for name, value in values.items():
        if next(left, None) is None:
            raise RuntimeError
        here = Leaf(parent, str(name), value, values)
        rule = rule_of(here)
        if rule and (rule is nothing or here.name in OBJECTS or not isinstance(value, Mapping)):
            yield here
            continue
        for one in each(value):
            if not isinstance(one, Mapping):
                yield here
                break
            if others := [name for name in _OTHER_PICTURES if _OTHER_PICTURES[name](one.get(name))]:
                yield Leaf(here.name, others[0], one[others[0]], one)
            elif one.get("enabled") is not False:
                yield from _leaves(one, here.name, left)


_OTHER_PICTURES: Mapping[str, Callable[[Any], bool]] = {
    "is_reg": bool,
    "validation_concept": bool,
    "type": lambda value: value in ("VALIDATION", "PRIOR_PREDICTION"),
}
"""What tells pictures that a word is not learned from."""


def _told(leaf: Leaf, kind: type[BaseModel]) -> Told:
    if leaf.value is None or leaf.value == "" or leaf.value == [] or leaf.value == {}:
        return None
    if rule := rule_of(leaf):
        try:
            return rule(leaf)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return ""  # a value that no trainer writes
    own = names_of(kind).get(leaf.name, leaf.name)
    if own in kind.model_fields:
        return {own: leaf.value}
    if leaf.value in (0, "0") or leaf.name.startswith(OTHER_TRAININGS):
        return None
    of_optimiser = INSTEAD["prodigy_beta3"] if leaf.parent == "optimizer" else ""
    return INSTEAD.get(leaf.name, of_optimiser)
