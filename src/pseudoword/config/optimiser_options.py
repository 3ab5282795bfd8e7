"""Arguments of an optimiser, as `key=value`."""

import ast
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Annotated, Any, Self

from pseudoword.config.fields import AS_WRITTEN, parsed
from pseudoword.config.installed import names_in
from pseudoword.errors import SettingsError
from pseudoword.text import brief, nearest

SET_ELSEWHERE = {
    "lr": "it is --lr",
    "params": "it is the word",
    "maximize": "the word would learn what its pictures are not",
}
"""Arguments of optimisers that are not for `--optimiser-option`, and why."""


@dataclass(frozen=True)
class OptimiserOption:
    """One argument."""

    key: str
    value: Any
    """a literal of Python, or else the text itself"""
    text: str = field(compare=False)
    """as it was written"""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `key=value`.

        Raises:
            SettingsError: it is something else, or the argument has a setting of its own.
        """
        key, equals, value = map(str.strip, text.partition("="))
        told = f"--optimiser-option {brief(text)}"
        if not (equals and value and key.isidentifier()):
            raise SettingsError(f"{told}: write it as key=value")
        if key in SET_ELSEWHERE:
            raise SettingsError(f"{told}: {key} is no option, {SET_ELSEWHERE[key]}")
        try:
            return cls(key, ast.literal_eval(value), text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return cls(key, value, text)

    def __str__(self) -> str:
        """As it was written."""
        return self.text


Option = Annotated[OptimiserOption, parsed(OptimiserOption, OptimiserOption.parse), AS_WRITTEN]
"""An argument; written to a file as the user wrote it."""


TORCH = "torch.optim"
"""The module of optimisers that are called without one."""

_USUAL = ("AdamW", "Adam", "SGD", "RAdam", "NAdam", "Adafactor")
_OF_PACKAGES = (
    "prodigyopt.Prodigy",
    "prodigyplus.ProdigyPlusScheduleFree",
    "lion_pytorch.Lion",
    "dadaptation.DAdaptAdam",
    "dadaptation.DAdaptLion",
    "schedulefree.AdamWScheduleFree",
    "schedulefree.RAdamScheduleFree",
    "schedulefree.SGDScheduleFree",
    "bitsandbytes.optim.AdamW8bit",
    "bitsandbytes.optim.PagedAdamW",
    "bitsandbytes.optim.PagedAdamW8bit",
    "bitsandbytes.optim.PagedAdamW32bit",
    "bitsandbytes.optim.Lion8bit",
    "bitsandbytes.optim.PagedLion8bit",
)
"""Optimisers that other trainers know by the last part of their path: kohya's scripts in small
letters too, OneTrainer in capitals."""

_BY_NAME = {
    written: path
    for path in (*_USUAL, *_OF_PACKAGES)
    for name in [path.rpartition(".")[2]]
    for written in (name, name.lower(), name.upper(), name.upper().replace("8BIT", "_8BIT"))
} | {
    "AdaFactor": "Adafactor",
    "DADAPT_ADAM": "dadaptation.DAdaptAdam",
    "DADAPT_LION": "dadaptation.DAdaptLion",
    "PRODIGY_PLUS_SCHEDULE_FREE": "prodigyplus.ProdigyPlusScheduleFree",
    "SCHEDULE_FREE_ADAMW": "schedulefree.AdamWScheduleFree",
    "SCHEDULE_FREE_SGD": "schedulefree.SGDScheduleFree",
}


def by_usual_name(name: str) -> str:
    """The import path of what other trainers call `prodigy` or `AdamW8bit`; else `name` itself."""
    return _BY_NAME.get(name, name)


def no_optimiser(name: str, why: str) -> SettingsError:
    """An error: `--optimiser` names nothing that can be imported."""
    return SettingsError(
        f"--optimiser {brief(name)} cannot be imported ({why}). Give the name of a class in "
        f"{TORCH}, such as AdamW, or an import path of an installed package, such as "
        "prodigyopt.Prodigy or schedulefree.AdamWScheduleFree."
    )


def check_installed(name: str) -> None:
    """Check that there may be an optimiser of this name, as far as nothing is imported for it.

    Raises:
        SettingsError: its package is not installed, or torch does not speak of it.
    """
    module, _, kind = name.rpartition(".")
    package = (module or TORCH).partition(".")[0]
    try:
        found = find_spec(package)
    except (ImportError, ValueError):  # what is no name, or was imported from nowhere
        return
    if found is None:
        raise no_optimiser(name, f"no package {brief(package)} is installed")
    known = names_in(package, "optim", "__init__.py") if module in {"", TORCH} else ()
    if known and kind not in known:
        alike = nearest(kind, sorted(one for one in known if one[0].isupper()))
        meant = f"; did you mean {alike}?" if alike else ""
        raise no_optimiser(name, f"{TORCH} has no {brief(kind)}{meant}")
