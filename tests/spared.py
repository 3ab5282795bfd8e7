"""Imports the libraries as a command does, which takes half the time: import it before they are.

LoRAs are loaded, so peft is kept. It imports bitsandbytes, and that torch's compiler, which takes
as long as all else. The few tests that need them import them.
"""

import importlib
import sys

from pseudoword import imports

imports.spare()
imports.keep("peft")
imports.import_libraries()
sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  # cannot be imported
try:
    importlib.import_module("peft")
finally:
    del sys.modules["bitsandbytes"]
