"""pseudoword: teach a frozen text-to-image model a new word from three to five pictures."""

from importlib import import_module
from importlib.util import find_spec
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pseudoword.api import *  # noqa: F403 - `api.__all__` says what is public
    from pseudoword.api import __all__ as __all__

else:  # so that a type checker finds what is not there

    def __getattr__(name: str) -> Any:
        """Import the API, and torch with it, when it is first used: `--help` needs neither."""
        if name == "__all__" or not (name.startswith("_") or find_spec(f"{__name__}.{name}")):
            api = import_module("pseudoword.api")
            if name == "__all__" or name in api.__all__:
                found = getattr(api, name)
                if isinstance(found, FunctionType):
                    return import_module("pseudoword.in_python").for_python(found)
                return found
        raise AttributeError(f"module 'pseudoword' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is public, for whoever completes a name or reads the help."""
    return sorted({*globals(), *import_module("pseudoword.api").__all__})
