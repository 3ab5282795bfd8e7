"""A plan is the same whether its model was built for it or is there; then nothing is built."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiny

from pseudoword.api import plan
from pseudoword.errors import BaseModelError, PseudowordError, SettingsError
from pseudoword.models import base_model
from pseudoword.training import empty_models, memory_plan
from pseudoword.training.memory_plan import Plan

OTHERS: tuple[dict[str, Any], ...] = (
    {"resolution": 64},
    {"resolution": 64, "batch": 3, "quantize": "8bit"},
    {"resolution": 32, "batch": 3},
    {"resolution": 64, "output_embedding": True},
    {"resolution": 64, "method": "layered"},
    {"resolution": 64, "batch": 2},
)
"""One after another, as controls are changed."""


def planned(base: Path, **settings: Any) -> Plan | str:
    """The plan, or what is wrong with the settings for this kind of model."""
    try:
        return plan(base=str(base), **settings)
    except PseudowordError as error:
        return str(error)


def anew(base: Path, **settings: Any) -> Plan | str:
    """The plan of a process that has made none before."""
    empty_models.forget()
    return planned(base, **settings)


def check(base: Path) -> None:
    alone = [anew(base, **others) for others in OTHERS]
    empty_models.forget()
    assert [planned(base, **others) for others in OTHERS] == alone
    assert [planned(base, **others) for others in reversed(OTHERS)] == [*reversed(alone)]


def test_a_plan_is_as_that_of_a_new_process_whatever_was_planned_before(any_base: Path) -> None:
    check(any_base)


def test_also_of_a_model_for_inpainting(tmp_path: Path) -> None:
    """It encodes a grey picture once for each size, and with the VAE that it loads for that."""
    check(tiny.stable_diffusion(tmp_path, in_channels=9))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kinds of the models that were built."""
    kinds: list[str] = []
    build = base_model.build

    def note(*args: Any) -> Any:
        kinds.append(args[0].family)
        return build(*args)

    monkeypatch.setattr(base_model, "build", note)
    return kinds


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches of the steps that were followed."""
    followed: list[int] = []
    step = memory_plan._step

    def note(*args: Any) -> int:
        followed.append(len(args[1]))
        return step(*args)

    monkeypatch.setattr(memory_plan, "_step", note)
    return followed


def test_a_second_plan_builds_nothing_and_follows_only_what_changed(
    base: Path, built: list[str], steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plan(base=str(base), resolution=64)
    assert (built, steps) == (["sd"], [1, 1, 1])

    def unasked(*_: Any) -> int:
        raise AssertionError("it depends on the size alone, which is as before")

    monkeypatch.setattr(memory_plan, "_encode", unasked)
    monkeypatch.setattr(memory_plan, "_draw", unasked)
    assert plan(base=str(base), resolution=64, quantize="8bit") == first
    assert (built, steps) == (["sd"], [1, 1, 1])
    more = plan(base=str(base), resolution=64, batch=2)
    assert more.train[0].step_nbytes > first.train[0].step_nbytes
    assert (built, steps) == (["sd"], [1, 1, 1, 2, 2, 2])
    assert plan(base=str(base), resolution=64) == first
    assert len(steps) == 6


def test_a_model_that_was_replaced_is_built_again(
    tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_encode", "_draw", "_step"):
        monkeypatch.setattr(memory_plan, name, lambda *_: 0)
    base = tiny.stable_diffusion(tmp_path)
    assert plan(base=str(base), resolution=64).family == "sd"
    assert plan(base=str(base), resolution=64, dtype="float16").dtype == "float16"
    tiny.sdxl(base)
    assert plan(base=str(base), resolution=64).family == "sdxl"
    assert built == ["sd", "sd", "sdxl"]


def test_a_model_whose_counting_failed_is_built_again(
    base: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plan(base=str(base), resolution=64)
    with monkeypatch.context() as patch:

        def fails(*_: Any) -> int:
            raise ValueError("out of order")

        patch.setattr(memory_plan, "_step", fails)
        with pytest.raises(BaseModelError, match="out of order"):
            plan(base=str(base), resolution=64, batch=2)
    assert plan(base=str(base), resolution=64) == first
    assert built == ["sd", "sd"]


def test_a_size_that_does_not_work_costs_no_model(base: Path, built: list[str]) -> None:
    """On a page it may be half of a number that is being typed."""
    plan(base=str(base), resolution=64)
    with pytest.raises(SettingsError, match="multiple of"):
        plan(base=str(base), resolution=51)
    plan(base=str(base), resolution=64)
    assert built == ["sd"]


def test_threads_plan_at_once_each_with_a_model_of_its_own(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [{"resolution": 64, "batch": batch} for batch in (1, 2)]
    alone = [anew(base, **settings) for settings in asked]
    together = threading.Barrier(2, timeout=60)
    encode = memory_plan._encode

    def meet(*args: Any) -> int:
        together.wait()
        return encode(*args)

    empty_models.forget()
    monkeypatch.setattr(memory_plan, "_encode", meet)
    with ThreadPoolExecutor(2) as threads:
        assert [*threads.map(lambda settings: planned(base, **settings), asked)] == alone


@pytest.fixture
def few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(empty_models, "MOST_MODELS", 1)


@pytest.fixture
def alive() -> Callable[[], int]:
    """How many models are kept in memory."""
    gc.collect()
    return lambda: sum(isinstance(one, empty_models.EmptyModel) for one in gc.get_objects())


@pytest.mark.usefixtures("few_models")
def test_only_the_latest_models_stay(
    base: Path, tiny_base: Callable[[str], Path], alive: Callable[[], int]
) -> None:
    for one in (base, tiny_base("sdxl")):
        plan(base=str(one), resolution=64)
    assert alive() == 1
