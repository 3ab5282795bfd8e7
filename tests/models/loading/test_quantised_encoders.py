"""Text encoders in 8 and 4 bits read nearly as they do whole, and pass gradients to rows."""

from typing import Any

import pytest
import torch
from tiny_encoders import encoder

from pseudoword.config import Quantize
from pseudoword.models.loading.quantisation import quantize
from pseudoword.models.reading.lookup_site import check_site, injected, lookup_site

WIDTH = 64  # narrower layers are left as they are


def _read(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Its hidden states, and the gradient of a row."""
    site = lookup_site(model)
    row = torch.linspace(-1, 1, WIDTH)[None].requires_grad_(True)
    with injected(site, row, torch.tensor([[-1, -1, 0, -1, -1]])):
        states = model(torch.arange(5)[None], output_hidden_states=True).hidden_states[-1]
    (gradient,) = torch.autograd.grad(states[..., ::2].sum(), row)
    return states.detach(), gradient


@pytest.mark.parametrize("name", ["T5", "UMT5", "Gemma 2", "Qwen 3"])
@pytest.mark.parametrize(("kind", "error"), [("8bit", 0.05), ("4bit", 0.4)])
def test_fewer_bits_change_little(name: str, kind: Quantize, error: float) -> None:
    torch.manual_seed(0)
    whole = encoder(name, width=WIDTH)
    torch.manual_seed(0)
    packed = encoder(name, width=WIDTH)
    quantize(packed, kind).to("cpu")
    for exact, found in zip(_read(whole), _read(packed), strict=True):
        assert (found - exact).norm() < error * exact.norm()
    check_site(packed, lookup_site(packed))
