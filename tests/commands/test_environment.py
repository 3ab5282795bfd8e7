"""`env` says what there is on a machine, and what is wrong with it."""

import json

import pytest
import torch
from support import run

import pseudoword
from pseudoword.models.loading import devices

GIB = 2**30


def test_it_says_what_reports_of_faults_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("PSEUDOWORD_PASSWORD", "secret")
    code, said, complained = run("env")
    assert (code, complained) == (0, "")
    assert f"torch {torch.__version__}" in said
    assert "CUDA_VISIBLE_DEVICES=1\n" in said
    assert "secret" not in said
    found = json.loads(run("env", "--json")[1])
    assert found == pseudoword.env().model_dump(mode="json")
    assert found["devices"][0]["name"] == "cpu"
    assert found["device"] in [one["name"] for one in found["devices"]]
    assert {"fleet", "heic", "lora", "quantize", "ui"} <= found["extras"].keys()


def test_an_extra_is_there_if_all_of_its_packages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["torch>=2", 'numpy>=2; extra == "a"', 'none-such[x]>=1; extra == "a"']
    needed += ['numpy>=2 ; extra == "b"', "pillow>=1; python_version > '3' and extra == 'c'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: needed)
    assert pseudoword.env().extras == {"a": False, "b": True, "c": True}


def test_it_says_of_gpus_what_auto_is_on_them_and_why_one_is_of_no_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    monkeypatch.setattr(devices, "available", lambda: ["cpu", "cuda:1", "cuda:0"])
    monkeypatch.setattr(devices, "misfit", lambda name: "it is too old" if "0" in name else "")
    monkeypatch.setattr(devices, "dtype", lambda _name, _device: torch.float16)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "NVIDIA T4")
    monkeypatch.setattr("pseudoword.commands.environment.memory_nbytes", lambda device: 15 * GIB)
    said = run("env")[1]
    assert "cuda:1: NVIDIA T4, 15.0 GiB, float16 (auto)\n" in said
    assert "cuda:0: NVIDIA T4, 15.0 GiB, it is too old\n" in said


def test_variables_that_name_nothing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VARIABLE, "cuda:7")
    monkeypatch.setenv(devices.DTYPE_VARIABLE, "fp8")
    code, said, _ = run("env")
    assert code == 0
    assert "note: PSEUDOWORD_DEVICE=cuda:7: there is no such device here" in said
    assert "PSEUDOWORD_DTYPE=fp8: must be one of auto, float32" in said
