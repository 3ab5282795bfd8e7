"""LoRA files that are valid but cannot be used: an error, and the model is unchanged."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import lora

from pseudoword.errors import BaseModelError
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.generation import generate

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def good(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    return load_file(lora(base, tmp_path_factory.mktemp("lora") / "good.safetensors"))


@pytest.fixture(scope="module")
def loaded(base: Path) -> Family:
    return base_model.load_named(str(base), "cpu")


USELESS: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "no layer of this model": (
        lambda _: {"a.lora_A.weight": torch.ones(4, 32), "a.lora_B.weight": torch.ones(32, 4)},
        "changes nothing: it has no layer of this base",
    ),
    "half": (
        lambda good: {k: v for k, v in good.items() if "lora_A" in k},
        "is incomplete: it lacks",
    ),
    "incomplete": (lambda good: dict(sorted(good.items())[1:]), "is incomplete: it lacks"),
    "no numbers": (lambda good: {k: v * torch.nan for k, v in good.items()}, "not finite"),
    "infinite": (lambda good: {k: v * torch.inf for k, v in good.items()}, "not finite"),
    "wide": (
        lambda good: {k: torch.ones(4, 7) if "lora_A" in k else v for k, v in good.items()},
        "made for text of width 7",
    ),
    "no rank": (
        lambda good: {k: v[:0] if "lora_A" in k else v[:, :0] for k, v in good.items()},
        "cannot be used",
    ),
    "whole numbers": (lambda good: {k: v.char() for k, v in good.items()}, "cannot be used"),
    "single numbers": (lambda good: {k: v.sum() for k, v in good.items()}, "cannot be used"),
    "huge": (lambda good: {k: v * 1e30 for k, v in good.items()}, "not finite"),
    "pattern": (
        lambda good: good | {f"unet.(a+)+!.lora_{x}.weight": torch.ones(4, 4) for x in "AB"},
        "not the name of a layer but a pattern",
    ),
}

METADATA: dict[str, Any] = {
    "no object": [1],
    "no number": {"unet.r": "x"},
    "code": {"unet.auto_mapping": {"parent_library": "os", "base_model_class": "system"}},
    "pattern": {"unet.r": 4, "unet.lora_alpha": 4, "unet.target_modules": "(([a-z0-9_.])+)+!$"},
    "patterns": {"unet.r": 4, "unet.rank_pattern": {"(([a-z0-9_.])+)+!$": 8}},
}


def refusal_of(loaded: Family, file: Path) -> str:
    """The error of drawing with the LoRA in `file`; the model is as before."""
    before = generate(loaded, ["a cat"], [], seeds=[0], sampler_steps=1)[0]
    start = time.process_time()
    with pytest.raises(BaseModelError) as refusal:
        generate(loaded, ["a cat"], [], seeds=[0], sampler_steps=1, loras=[(file, 1.0)])
    assert time.process_time() - start < 10
    after = generate(loaded, ["a cat"], [], seeds=[0], sampler_steps=1)[0]
    assert before.tobytes() == after.tobytes()
    return str(refusal.value)


@pytest.mark.parametrize("name", USELESS)
def test_a_lora_that_cannot_work_is_an_error(
    loaded: Family, good: Tensors, tmp_path: Path, name: str
) -> None:
    make, message = USELESS[name]
    save_file(make(good), tmp_path / "x.safetensors")
    assert message in refusal_of(loaded, tmp_path / "x.safetensors")


@pytest.mark.parametrize("name", METADATA)
def test_settings_in_a_lora_run_no_code_and_take_no_time(
    loaded: Family, good: Tensors, tmp_path: Path, name: str
) -> None:
    text = json.dumps(METADATA[name])
    save_file(good, tmp_path / "x.safetensors", {"lora_adapter_metadata": text})
    message = refusal_of(loaded, tmp_path / "x.safetensors")
    assert ("a pattern" in message) == ("pattern" in name)
