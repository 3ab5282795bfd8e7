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
"""of bfloat16 and of 8 bits, in the gradient of a tiny member"""


def load(base: Path, dtype: str, quantize: str = "none") -> Family:
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
    any_base: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setattr(quantisation, "_can_quantize", lambda layer: type(layer) is nn.Linear)
    plain = gradient(load(any_base, dtype), pictures)
    family = load(any_base, dtype, "8bit")
    error, most = difference(gradient(family, pictures), plain), ROUNDING
    if error >= most:  # FLUX.2's tiny members lose more than that in 16 bits alone
        most = difference(plain, gradient(load(any_base, "float32"), pictures))
    assert 0 < error < most
    (picture,) = generate(family, ["a cat"], [], seeds=[0], sampler_steps=2)
    assert picture.convert("L").getextrema() != (0, 0)
