"""Schedulers of diffusers by name."""

from collections.abc import Iterator

from pseudoword.config.installed import names_in
from pseudoword.errors import SettingsError
from pseudoword.text import brief

STARTS, END = ("", "FlowMatch"), "Scheduler"
ENDS = ("", END, f"Discrete{END}")
"""Beginnings and ends of diffusers' names of schedulers, which nobody has to write."""


def classes(name: str) -> Iterator[str]:
    """The classes that may be meant by `name`, with or without its usual beginning and end."""
    return (f"{start}{name}{end}" for start in STARTS for end in ENDS)


def check_known(name: str, told: str) -> None:
    """Check that diffusers speaks of such a scheduler; importing it takes seconds.

    Args:
        name: of its class, with or without its usual beginning and end.
        told: where it was given, as a message names it.

    Raises:
        SettingsError: it does not.
    """
    known = names_in("diffusers", "schedulers", "__init__.py")
    if known and known.isdisjoint(classes(name)):
        source = names_in("diffusers", "schedulers", "scheduling_utils.py")
        usual = sorted(one.removesuffix(END) for one in known & source if one.endswith(END))
        raise SettingsError(
            f"{told}: diffusers has no scheduler {brief(name)}. Models such as Stable Diffusion "
            f"work with {', '.join(usual)}."
        )
