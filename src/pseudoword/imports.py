"""What a process that only runs a command does not import, because it is never used and takes long.

In other programs that import pseudoword, somebody else may need it.
"""

import atexit
import gc
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from pseudoword.errors import SettingsError

LIBRARIES = ("diffusers", "accelerate", "transformers.modeling_utils")

EXTRAS = ("peft", "bitsandbytes", "boto3")
"""The libraries import these where they are installed, which takes longer than all of diffusers.
diffusers loads LoRAs only if it finds peft. Everybody else can still import them. peft imports
bitsandbytes, and with it the compiler, only to know its layers, which need nothing special here."""

COMPILER = "torch._dynamo"
"""torch's compiler. Optimisers, diffusers and transformers import it to tell it what not to
compile, which takes as long as importing torch."""

SETTINGS = f"{COMPILER}.config"
"""Its settings, of which torch's checkpointing reads one."""

ALONE = {SETTINGS, f"{COMPILER}._trace_wrapped_higher_order_op"}
"""Parts of it that need nothing of the rest. transformers uses the second one."""

ALL_MODELS = "transformers.models"
"""A package whose import searches the files of four hundred models for names."""

COUNTS_LEAKS = "triton._C.libtriton"
"""A part of triton, which since 3.9 complains at the end of what was not cleared away."""

NEW_OBJECTS, NEW_OBJECTS_LATER = 1_000_000, 10_000
"""After so many, Python searches for garbage: until the libraries are imported, and then. What is
imported is hardly ever garbage, and searching it again and again takes a second."""

_spares = False
_kept: set[str] = set()


def spare() -> None:
    """Spare imports from here on: this process only runs a command."""
    global _spares
    _spares = True
    gc.set_threshold(NEW_OBJECTS)
    atexit.register(_search_no_more)
    if COMPILER not in sys.modules:
        sys.modules[COMPILER] = NothingCompiled(COMPILER)
        sys.meta_path.insert(0, _PartsOfCompiler())
    sys.modules.setdefault(ALL_MODELS, Later(ALL_MODELS))


def _search_no_more() -> None:
    """At the end of the process, leave out the search for garbage: it takes long."""
    if COUNTS_LEAKS in sys.modules:
        gc.unfreeze()
    else:
        gc.freeze()


def keep(extra: str) -> None:
    """Let the libraries import one of `EXTRAS` after all."""
    _kept.add(extra)


def need_docstrings() -> None:
    """See that Python has not left out docstrings.

    Raises:
        SettingsError: it has; diffusers would fail in the middle of something.
    """
    if sys.flags.optimize > 1:
        raise SettingsError(
            "diffusers does not work without docstrings. Start Python without -OO, and without "
            "PYTHONOPTIMIZE=2."
        )


def import_libraries() -> None:
    """Import diffusers and transformers; in a process that spares imports, without unused parts.

    They look for `EXTRAS` and for other processes to compute with once, when they are imported.
    What is there then stays to the end, so it is not searched for garbage again.
    """
    need_docstrings()
    global _spares
    if not _spares:
        return
    _spares = False
    hidden = [name for name in EXTRAS if name not in sys.modules and name not in _kept]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: cannot be imported
    try:
        with _without_other_processes():
            _leave_docstrings()
            for library in LIBRARIES:
                importlib.import_module(library)
            for extra in _kept:  # while the others are hidden
                with suppress(Exception):  # diffusers says what is wrong with it
                    importlib.import_module(extra)
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        gc.set_threshold(NEW_OBJECTS_LATER)


def _leave_docstrings() -> None:
    """Let transformers import its models without writing docstrings for them."""
    utils: Any = importlib.import_module("transformers.utils")

    def leave(thing: Any = None, **_: object) -> Any:
        return leave if thing is None else thing

    utils.auto_docstring = leave


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


def import_gradio() -> None:
    """Import Gradio, which then writes no stubs for editors: that takes half the time of it.

    Raises:
        ImportError: it is not installed, or broken.
    """
    finder = _WithoutStubs()
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("gradio")
    finally:
        sys.meta_path.remove(finder)


class _WithoutStubs(MetaPathFinder):
    """Takes the writing of stubs, which belong beside its source, out of Gradio."""

    def find_spec(self, name: str, path: Any, _target: object = None) -> ModuleSpec | None:
        """Of the module that writes them, which does so whenever a component is defined."""
        found = PathFinder.find_spec(name, path) if name == "gradio.component_meta" else None
        loader: Any = found and found.loader
        if loader:
            usual = loader.exec_module

            def run(module: Any) -> None:
                usual(module)
                module.create_or_modify_pyi = lambda *_: None

            loader.exec_module = run
        return found


class Later(ModuleType):
    """Takes the place of a module. As soon as anything of it is used, that is imported.

    Modules inside it can be imported without it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None, is_package=True)

    def __getattr__(self, name: str) -> Any:
        """What the module has."""
        own = self.__name__
        if name == "__path__":
            package, _, inside = own.partition(".")
            found = importlib.util.find_spec(package)
            folders = (found and found.submodule_search_locations) or []
            return [str(Path(folder, *inside.split("."))) for folder in folders]
        if name.startswith("__"):  # asked of any module
            raise AttributeError(name)
        if any(Path(folder, name, "__init__.py").is_file() for folder in self.__path__):
            return importlib.import_module(f"{own}.{name}")
        return getattr(_import_really(own), name)


class NothingCompiled(Later):
    """Takes the place of torch's compiler while nothing is compiled."""

    eval_frame = SimpleNamespace(OptimizedModule=type("OptimizedModule", (), {}))
    """the class of compiled models, of which there are none"""

    def __getattr__(self, name: str) -> Any:
        """Its settings without the rest, which has the same ones once it is imported."""
        if f"{COMPILER}.{name}" == SETTINGS:
            return importlib.import_module(SETTINGS)
        return super().__getattr__(name)

    def disable(self, function: Any = None, *_: Any, **__: Any) -> Any:
        """`function` as it is; without one, a decorator that does this."""
        return self.disable if function is None else function

    def allow_in_graph(self, function: Any) -> Any:
        """`function` as it is."""
        return function

    assume_constant_result = allow_in_graph

    def graph_break(self) -> None:
        """Nothing: there is no graph."""

    def is_compiling(self) -> bool:
        """False."""
        return False


class _PartsOfCompiler(MetaPathFinder, Loader):
    """Imports the compiler before any part of it not in `ALONE`, as without `NothingCompiled`."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Of a part that is wanted before the compiler itself."""
        if not name.startswith(f"{COMPILER}.") or name in ALONE or _is_imported():
            return None
        _import_really(COMPILER)
        return spec_from_loader(name, self) if name in sys.modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The part, which was imported with the compiler."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


def _is_imported() -> bool:
    return not isinstance(sys.modules.get(COMPILER), NothingCompiled)


def _import_really(name: str) -> ModuleType:
    """The module itself, which has its place again."""
    if isinstance(sys.modules.get(name), Later):
        del sys.modules[name]
    return importlib.import_module(name)
