"""diffusers' classes by their names, imported once they are used, and what they are made with."""

from inspect import signature
from typing import Any

from pseudoword import imports


def diffusers_class(name: str) -> Any:
    """The class of diffusers of this name."""
    imports.import_libraries()
    import diffusers

    return getattr(diffusers, name)


def defaults_of(kind: Any) -> dict[str, Any]:
    """What a class takes for the entries that its config lacks."""
    options = signature(kind.__init__).parameters
    return {name: one.default for name, one in options.items() if one.default is not one.empty}


def without_parts(pipeline: Any) -> dict[str, Any]:
    """Arguments for a class of pipelines: None for each part that it must be given."""
    parts = signature(pipeline).parameters
    return {name: None for name, one in parts.items() if one.default is one.empty}
