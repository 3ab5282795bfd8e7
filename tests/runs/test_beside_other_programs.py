"""A program of somebody else's around a run: its settings, and its threads, change no number."""

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support import learn

from pseudoword import generate, load
from pseudoword.commands.load import Loaded
from pseudoword.in_python import for_python
from pseudoword.models.loading.loaders import using_loaders
from pseudoword.runs.finish import Trained


@pytest.fixture(autouse=True)
def _share() -> None:
    """Nothing: runs in several threads have a model each."""


@contextmanager
def default_precision(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def drawn(base: Path | Loaded, done: Trained) -> bytes:
    (picture,) = generate("a <cat>", concept=done.concept, base=base, sampler_steps=2)
    return picture.tobytes()


def test_the_default_precision_of_a_process_changes_nothing(
    any_base: Path, pictures: Path, tmp_path: Path
) -> None:
    model = load(any_base)
    usual = learn(model, pictures, tmp_path / "usual", batch=2)
    picture = drawn(model, usual)
    with default_precision(torch.bfloat16):
        model = load(any_base)
        other = learn(model, pictures, tmp_path / "other", batch=2)
        if "sana" not in any_base.name:  # diffusers multiplies whole numbers of timesteps there
            assert drawn(model, usual) == picture
        assert torch.get_default_dtype() is torch.bfloat16
    assert other.concept.vectors.keys() == usual.concept.vectors.keys()
    for key, rows in usual.concept.vectors.items():
        assert torch.equal(other.concept.vectors[key], rows), key


SETTINGS: dict[str, dict[str, Any]] = {
    "layered": {"method": "layered"},
    "directional": {"method": "directional"},
    "importance": {"timestep_sampling": "importance", "steps": 10, "batch": 4},
    "stratified": {"timestep_sampling": "stratified", "batch": 2},
    "logit-normal": {"timestep_sampling": "logit-normal", "loss": "huber"},
    "random": {
        "init_mode": "random",
        "vectors": 2,
        "noise_offset": 0.1,
        "min_snr": 5,
        "nested": 0.5,
    },
    "context": {"keep_context": 0.1, "latent_sampling": "once"},
    "output": {"output_embedding": True},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_nor_with_other_settings(name: str, base: Path, pictures: Path, tmp_path: Path) -> None:
    usual = learn(base, pictures, tmp_path / "usual", **SETTINGS[name])
    with default_precision(torch.bfloat16):
        other = learn(base, pictures, tmp_path / "other", **SETTINGS[name])
    assert other.concept.vectors.keys() == usual.concept.vectors.keys()
    for key, rows in usual.concept.vectors.items():
        assert torch.equal(other.concept.vectors[key], rows), key


def test_words_are_learned_and_drawn_in_several_threads_as_in_one(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    def both(name: str) -> tuple[Trained, bytes]:
        done = learn(base, pictures, tmp_path / name, dtype="bfloat16", batch=2)
        return done, drawn(base, done)

    usual, picture = both("usual")
    filters = [*warnings.filters]
    with ThreadPoolExecutor(3) as threads:
        results = [*threads.map(both, map(str, range(6)))]
    for done, also in results:
        assert torch.equal(done.concept.vectors["clip_l"], usual.concept.vectors["clip_l"])
        assert also == picture
    assert torch.get_default_dtype() is torch.float32
    assert warnings.filters == filters


def test_a_call_from_python_leaves_the_precision_of_a_model_that_another_thread_loads() -> None:
    began, loads = threading.Event(), threading.Event()

    @for_python
    def call() -> None:
        began.set()
        loads.wait()

    with ThreadPoolExecutor(1) as pool:
        called = pool.submit(call)
        began.wait()
        with using_loaders(), default_precision(torch.bfloat16):  # as transformers loads
            loads.set()
            wait([called], timeout=0.2)
            assert torch.get_default_dtype() is torch.bfloat16
        called.result()
    assert torch.get_default_dtype() is torch.float32
