"""How tests run. One thread per test process: faster for tiny models, and exact.

Tests compute on the CPU, in float32, whatever the machine has: `auto` means that here, and in the
processes that tests start. Tests marked `gpu` name the device they need and are skipped without it.
"""

import gc
import importlib
import os
import sys
from typing import Any

os.environ["PSEUDOWORD_DEVICE"] = "cpu"
os.environ["PSEUDOWORD_DTYPE"] = "float32"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import hypothesis
import pytest

hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=2000, deadline=None)
hypothesis.settings.load_profile("suite")

_providers: Any = importlib.import_module("hypothesis.internal.conjecture.providers")
_is_ours = _providers.is_local_module_file


def _is_searched(path: str) -> bool:
    """Whether Hypothesis also tries words of this module: those imported so far differ by run."""
    profile = hypothesis.settings.default
    return profile is not None and not profile.derandomize and bool(_is_ours(path))


_providers.is_local_module_file = _is_searched


@pytest.hookimpl(trylast=True)  # xdist has decided whether to lead others
def pytest_configure(config: pytest.Config) -> None:
    """Import torch, with the fixtures, only where tests run.

    Not in xdist's own process, which leads the others: they start as soon as it is ready.
    """
    if not config.pluginmanager.hasplugin("dsession"):
        importlib.import_module("spared")
        config.pluginmanager.import_plugin("shared_fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that no worker is left with one at the end.

    Tests that need a GPU are skipped without one.

    All tests of a file run in one worker (`--dist loadfile`), so that shared things are made once.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a GPU with CUDA; this machine has none"))


def pytest_collection_finish() -> None:
    """Imported modules stay, so the garbage collector need not scan them again and again.

    Where a test starts processes, their server imports what they need meanwhile.
    """
    gc.freeze()
    if "forked" in sys.modules:
        sys.modules["forked"].start_server()
