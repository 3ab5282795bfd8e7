"""Large text encoders are differentiated without keeping all of their activations."""

from typing import Any

import pytest
import torch
from tiny_encoders import KINDS, encoder

from pseudoword.models.compute.checkpointing import checkpoint_blocks
from pseudoword.models.compute.live_memory import count_peak
from pseudoword.models.reading.lookup_site import injected, lookup_site

LARGE = [name for name in KINDS if not name.startswith("CLIP")]


def _gradient(model: Any, layer: int = -1) -> tuple[torch.Tensor, torch.Tensor]:
    """The hidden states, and the gradient of a row in them."""
    site = lookup_site(model)
    rows = torch.linspace(-1, 1, site.table.shape[1], device=site.table.device)
    rows = rows[None].requires_grad_(True)
    ids = torch.arange(12, device=rows.device).view(2, 6)
    slots = torch.full((2, 6), -1, device=rows.device)
    slots[:, 2] = 0
    options: dict[str, Any] = {"output_hidden_states": True}
    if site.table.is_meta:
        options["attention_mask"] = torch.zeros(2, 1, 6, 6, device="meta")
    with injected(site, rows, slots):
        states = model(ids, **options).hidden_states[layer]
        states.square().sum().backward()
    assert rows.grad is not None
    return states.detach(), rows.grad


@pytest.mark.parametrize("name", LARGE)
def test_states_and_gradients_are_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = encoder(name)
    plain = [_gradient(model, layer) for layer in (-1, 1)]
    checkpoint_blocks(model)
    sparing = [_gradient(model, layer) for layer in (-1, 1)]
    for (states, gradient), (same_states, same_gradient) in zip(plain, sparing, strict=True):
        assert torch.equal(states, same_states)
        assert torch.equal(gradient, same_gradient)
        assert gradient.norm() > 0


@pytest.mark.parametrize("name", LARGE)
def test_it_takes_less_memory(name: str) -> None:
    with torch.device("meta"):
        model = encoder(name)

    def peak() -> int:
        with count_peak() as counted:
            _gradient(model)
            return counted()

    plain = peak()
    checkpoint_blocks(model)
    assert peak() < plain
