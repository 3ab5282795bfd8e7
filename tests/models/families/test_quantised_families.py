"""Every family can be trained and drawn with its linear layers in fewer bits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support import asked, train_state
from torch import nn

from pseudoword.config import BaseChoice
from pseudoword.models import base_model
from pseudoword.models.generation import generate
from pseudoword.models.loading import quantisation
from pseudoword.training import loss
from pseudoword.training.batches import batch

ROUNDING = 0.3
"""of bfloat16 and of 8 bits, in the gradient of a tiny member"""


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_all_linear_layers_may_have_8_bits(
    any_base: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setattr(quantisation, "_can_quantize", lambda layer: type(layer) is nn.Linear)
    shared: dict[str, Any] = {"base": str(any_base), "device": "cpu", "dtype": dtype}
    gradients = {}
    for kind in ("none", "8bit"):
        family = base_model.load(BaseChoice.check(**shared, quantize=kind))
        state = train_state(family, pictures)
        samples = batch(family, [state.data], 0)
        (loss.losses(family, [asked(state)], samples).sum() * 1000).backward()
        found = [rows.grad for rows in state.method.parameters() if rows.grad is not None]
        gradients[kind] = torch.cat([gradient.flatten() for gradient in found])
    error = (gradients["8bit"] - gradients["none"]).norm() / gradients["none"].norm()
    assert 0 < error < ROUNDING, error
    (picture,) = generate(family, ["a cat"], [], seeds=[0], sampler_steps=2)
    assert picture.convert("L").getextrema() != (0, 0)
