"""How much memory a GPU has, of each kind, without one."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pseudoword.models.compute import device_memory

GIB = 1 << 30


def gpu(**more: Any) -> SimpleNamespace:
    """What torch answers for a GPU of 16 GiB, of which 3 are free and 2 this process's own."""
    answers = {
        "get_device_properties": lambda _device: SimpleNamespace(total_memory=16 * GIB),
        "mem_get_info": lambda _device: (3 * GIB, 16 * GIB),
        "memory_reserved": lambda _device: 2 * GIB,
    }
    return SimpleNamespace(**{**answers, **more})


@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_room_is_what_is_free_and_what_the_process_has(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_device_module", lambda _device: gpu())
    device = torch.device(kind, 0)
    assert device_memory.memory_nbytes(device) == 16 * GIB
    assert device_memory.room_nbytes(device) == 5 * GIB


def test_a_gpu_that_does_not_tell_what_is_free_has_all_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As graphics of Intel that are part of the processor."""

    def fails(_device: torch.device) -> None:
        raise RuntimeError("The device doesn't support querying the available free memory.")

    monkeypatch.setattr(torch, "get_device_module", lambda _device: gpu(mem_get_info=fails))
    assert device_memory.room_nbytes(torch.device("xpu", 0)) == 16 * GIB


def test_of_an_unknown_kind_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_device_module", lambda _device: SimpleNamespace())
    assert device_memory.memory_nbytes(torch.device("xpu", 0)) is None
    assert device_memory.room_nbytes(torch.device("xpu", 0)) is None


def test_a_gpu_of_apple_has_what_metal_recommends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * GIB)
    assert device_memory.memory_nbytes(torch.device("mps", 0)) == 12 * GIB
    assert device_memory.room_nbytes(torch.device("mps", 0)) == 12 * GIB


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_memory_is_given_back_to_any_gpu(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[str] = []
    found = torch.device(kind)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: found)
    monkeypatch.setattr(
        torch,
        "get_device_module",
        lambda device: gpu(empty_cache=lambda: emptied.append(device.type)),
    )
    device_memory.free_memory()
    assert emptied == [kind]


def test_windows_is_asked_for_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(status: Any) -> bool:
        assert status._obj.length == 64
        status._obj.total = 16 * GIB
        return True

    kernel = SimpleNamespace(GlobalMemoryStatusEx=fill)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(device_memory, "WINDOWS", True)
    monkeypatch.setattr(device_memory, "_LIMITS", ())
    assert device_memory.memory_nbytes(torch.device("cpu")) == 16 * GIB
    kernel.GlobalMemoryStatusEx = lambda _status: False
    assert device_memory.memory_nbytes(torch.device("cpu")) is None
