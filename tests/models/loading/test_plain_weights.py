"""Models whose files hold just their weights are loaded without the libraries' own loaders."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from pseudoword.config.base_choice import DType
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.loading import parts, plain_weights


def test_all_of_a_model_is_as_its_library_loads_it(
    any_base: Path, any_family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = any_family.modules()
    monkeypatch.setattr(parts, "load_plain", lambda *_: None)
    theirs = base_model.load_named(str(any_base), "cpu").modules()
    assert plain.keys() == theirs.keys()
    for name, module in plain.items():
        assert described(module) == described(theirs[name])
        ours, same = tensors(module), tensors(theirs[name])
        assert ours.keys() == same.keys()
        assert all(torch.equal(ours[key], same[key]) for key in ours)


@pytest.mark.parametrize(
    ("any_base", "dtype"),
    [*((kind, "bfloat16") for kind in tiny.DISTINCT), ("sd3", "float16")],
    indirect=["any_base"],
)
def test_in_half_precision_too(
    any_base: Path, monkeypatch: pytest.MonkeyPatch, dtype: DType
) -> None:
    """But for what the libraries keep in float32, or compute there when a model is made."""
    plain = base_model.load_named(str(any_base), "cpu", dtype).modules()
    monkeypatch.setattr(parts, "load_plain", lambda *_: None)
    theirs = base_model.load_named(str(any_base), "cpu", dtype).modules()
    for name, module in plain.items():
        assert described(module) == described(theirs[name])
        ours, same = tensors(module), tensors(theirs[name])
        assert ours.keys() == same.keys()
        assert all(ours[key].dtype == same[key].dtype for key in ours)
        assert all(torch.equal(ours[key], same[key]) for key in ours)


def tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Its weights and all buffers, those that are in no file too."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def described(module: torch.nn.Module) -> tuple[Any, ...]:
    config: Any = getattr(module, "config", {})
    entries = dict(config if isinstance(config, dict) else config.to_dict())
    attention = getattr(config, "_attn_implementation", None)
    kinds = [(key, type(one), one.training) for key, one in module.named_modules()]
    return {k: v for k, v in entries.items() if k != "_name_or_path"}, attention, kinds


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each part was loaded plainly."""
    said: list[bool] = []

    def load(*given: Any) -> Any:
        model = plain_weights.load_plain(*given)
        said.append(model is not None)
        return model

    monkeypatch.setattr(parts, "load_plain", load)
    return said


def test_half_precision_needs_no_other_loader(base: Path, plainly: list[bool]) -> None:
    base_model.load_named(str(base), "cpu", "bfloat16").modules()
    assert plainly == [True, True, True]


def test_weights_by_former_names_are_left_to_the_library(
    base: Path, tmp_path: Path, plainly: list[bool]
) -> None:
    """Such as those of CLIPs that transformers wrote for years."""
    before = tensors(base_model.load_named(str(base), "cpu").modules()["clip_l"])
    assert all(plainly)
    folder = shutil.copytree(base, tmp_path / "base")
    file = folder / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    old = {f"text_model.{name.removeprefix('text_model.')}": w for name, w in weights.items()}
    new = {name.removeprefix("text_model."): w for name, w in weights.items()}
    other = old if old.keys() != weights.keys() else new
    save_file(other, file, {"format": "pt"})
    plainly.clear()
    after = tensors(base_model.load_named(str(folder), "cpu").modules()["clip_l"])
    assert not plainly[0]
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_file_in_other_precision_gives_float32(
    base: Path, tmp_path: Path, plainly: list[bool], dtype: torch.dtype
) -> None:
    folder = shutil.copytree(base, tmp_path / "base")
    file = folder / "text_encoder" / "model.safetensors"
    save_file({name: w.to(dtype) for name, w in load_file(file).items()}, file, {"format": "pt"})
    encoder = base_model.load_named(str(folder), "cpu").modules()["clip_l"]
    assert plainly[0] == (dtype is torch.float16)
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}
