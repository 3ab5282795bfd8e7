"""Fixtures shared by all tests. One thread per test process: faster for tiny models, and exact.

Tests compute on the CPU, in float32, whatever the machine has: `auto` means that here, and in the
processes that tests start. Tests marked `gpu` name the device they need and are skipped without it.
"""

import functools
import gc
import os

os.environ["PSEUDOWORD_DEVICE"] = "cpu"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
import tiny
import torch
from PIL import Image, ImageDraw

from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.loading import parts
from pseudoword.report import charts
from pseudoword.runs import callbacks
from pseudoword.training import learning_rate_finder

hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=2000, deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session", params=tiny.DISTINCT)
def any_base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model, once per kind of base model."""
    return tiny.BASES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session", params=tiny.DISTINCT_UNETS)
def unet_base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model, once per kind of base model with a U-Net."""
    return tiny.BASES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session", params=tiny.TRANSFORMERS)
def transformer_base(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a tiny model, once per kind of base model with a transformer."""
    return tiny.BASES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny SD model."""
    return tiny.stable_diffusion(tmp_path_factory.mktemp("sd"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that no worker is left with one at the end.

    Tests that need a GPU are skipped without one.

    All tests of a file run in one worker (`--dist loadfile`), so that shared things are made once.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a GPU with CUDA; this machine has none"))


def pytest_collection_finish() -> None:
    """Imported modules stay, so the garbage collector need not scan them again and again."""
    gc.freeze()


@pytest.fixture
def family(base: Path) -> Family:
    return base_model.load_named(str(base), "cpu")


@pytest.fixture
def any_family(any_base: Path) -> Family:
    return base_model.load_named(str(any_base), "cpu")


@pytest.fixture
def unet_family(unet_base: Path) -> Family:
    return base_model.load_named(str(unet_base), "cpu")


@pytest.fixture
def short_range_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate is chosen after a few steps: enough where only its bytes matter."""
    monkeypatch.setattr(learning_rate_finder, "STEPS", 4 * learning_rate_finder.EVERY)


@pytest.fixture
def own_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are torch's own, as on a GPU: on a CPU in float32, faster ones round differently."""
    monkeypatch.setattr(parts, "can_pack", lambda *_: False)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSEUDOWORD_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is slow, and no test cuts the power: what a killed process has written stays."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@functools.cache
def _a_chart() -> bytes:
    return charts.curves([{"step": 1, "loss": 1.0, "norm": 1.0, "lr": 0.1}], "a word")


@pytest.fixture(autouse=True)
def _one_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs of a test have the same chart: drawing one takes a third of a short run's time.

    Those of fixtures of the module and of other processes have their own.
    """
    own = charts.curves

    def curves(entries: Sequence[Mapping[str, float]], title: str) -> bytes:
        return _a_chart() if charts.curves is own else charts.curves(entries, title)

    monkeypatch.setattr(callbacks, "charts", SimpleNamespace(curves=curves))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of four small pictures, none of them square."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, colour in enumerate(("red", "green", "blue", "orange")):
        picture = Image.new("RGB", (48, 40), "white")
        ImageDraw.Draw(picture).ellipse((8 + i, 8, 36, 32 - i), fill=colour)
        picture.save(folder / f"{i}.png")
    return folder
