"""What a process that only runs a command does not import, because it is never used and takes long.

In other programs that import pseudoword, somebody else may need it.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

LIBRARIES = ("diffusers", "accelerate", "transformers.modeling_utils")

EXTRAS = ("peft", "bitsandbytes", "boto3")
"""The libraries import these where they are installed, which takes longer than all of diffusers.
diffusers can then not load LoRAs. Everybody else can still import them."""

COMPILER = "torch._dynamo"
"""torch's compiler. Optimisers, diffusers and transformers import it to tell it what not to
compile, which takes as long as importing torch."""

ALONE = f"{COMPILER}._trace_wrapped_higher_order_op"
"""A part of it that transformers uses, and that needs nothing of the rest."""

_spares = False


def spare() -> None:
    """Spare imports from here on: this process only runs a command."""
    global _spares
    _spares = True
    if COMPILER not in sys.modules:
        sys.modules[COMPILER] = NothingCompiled(COMPILER)
        sys.meta_path.insert(0, _PartsOfCompiler())


def import_libraries() -> None:
    """Import diffusers and transformers; in a process that spares imports, without unused parts.

    They look for `EXTRAS` and for other processes to compute with once, when they are imported.
    """
    if not _spares:
        return
    hidden = [name for name in EXTRAS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: cannot be imported
    try:
        with _without_other_processes():
            for library in LIBRARIES:
                importlib.import_module(library)
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _without_other_processes() -> Iterator[None]:
    """While open, torch seems to be built without `torch.distributed`, as some builds are."""
    distributed: Any = importlib.import_module("torch.distributed")
    is_available = distributed.is_available
    distributed.is_available = lambda: False
    try:
        yield
    finally:
        distributed.is_available = is_available


class NothingCompiled(ModuleType):
    """Takes the place of torch's compiler while nothing is compiled.

    As soon as anything else of the compiler is used, it is imported, and has its place again.
    """

    eval_frame = SimpleNamespace(OptimizedModule=type("OptimizedModule", (), {}))
    """the class of compiled models, of which there are none"""

    def disable(self, function: Any = None, *_: Any, **__: Any) -> Any:
        """`function` as it is; without one, a decorator that does this."""
        return self.disable if function is None else function

    def allow_in_graph(self, function: Any) -> Any:
        """`function` as it is."""
        return function

    assume_constant_result = allow_in_graph

    def graph_break(self) -> None:
        """Nothing: there is no graph."""

    def __getattr__(self, name: str) -> Any:
        """What else the compiler has."""
        if name == "__path__":
            return [str(Path(str(sys.modules["torch"].__file__)).parent / "_dynamo")]
        if name.startswith("__"):  # asked of any module
            raise AttributeError(name)
        return getattr(_compiler(), name)


class _PartsOfCompiler(MetaPathFinder, Loader):
    """Imports the compiler before any part of it but `ALONE`, as without `NothingCompiled`."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Of a part that is wanted before the compiler itself."""
        if not name.startswith(f"{COMPILER}.") or name == ALONE or _is_imported():
            return None
        _compiler()
        return spec_from_loader(name, self) if name in sys.modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The part, which was imported with the compiler."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


def _is_imported() -> bool:
    return not isinstance(sys.modules.get(COMPILER), NothingCompiled)


def _compiler() -> ModuleType:
    """The compiler itself."""
    if not _is_imported():
        del sys.modules[COMPILER]
    return importlib.import_module(COMPILER)
