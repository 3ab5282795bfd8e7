"""What a process that only runs a command does not import, because it is never used and takes long.

In other programs that import pseudoword, somebody else may need it.
"""

import importlib
import sys

EXTRAS = ("peft", "bitsandbytes")
"""diffusers imports these where they are installed, which takes longer than all of diffusers."""

_spares = False


def spare() -> None:
    """Spare imports from here on: this process only runs a command."""
    global _spares
    _spares = True


def import_diffusers() -> None:
    """Import diffusers; in a process that spares imports, without `EXTRAS`.

    diffusers looks for them once, when it is imported, so it cannot load LoRAs then. Everybody else
    can still import them.
    """
    hidden = [name for name in EXTRAS if _spares and name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: cannot be imported
    try:
        importlib.import_module("diffusers")
    finally:
        for name in hidden:
            del sys.modules[name]
