"""Layers whose kernels depend on the batch are computed in another way, while a word is learned."""

from typing import Any

import pytest
import torch
from diffusers.models.embeddings import AttentionPooling
from torch import Tensor, nn

from pseudoword.models.compute.frozen_layers import replace_forwards
from pseudoword.training import batch_invariance
from pseudoword.training.batch_invariance import batch_invariant, exact_forwards


def gradient(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The output of `layer`, and the gradient of a sum that weighs it unevenly."""
    x = x.clone().requires_grad_()
    out = layer(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        pytest.param(nn.Conv2d(6, 10, 1), torch.randn(3, 6, 5, 7), id="convolution"),
        pytest.param(nn.Linear(6, 10), torch.randn(3, 6), id="rows"),
        pytest.param(nn.Linear(6, 10), torch.randn(1, 1, 6), id="one row"),
        pytest.param(AttentionPooling(4, 24), torch.randn(3, 9, 24), id="pooling"),
    ],
)
def test_a_layer_gives_what_it_gave(layer: nn.Module, x: Tensor) -> None:
    usual = gradient(layer, x)
    forwards = exact_forwards(layer)
    assert layer in [module for module, _ in forwards]
    with batch_invariant(forwards):
        changed = gradient(layer, x)
    for one, other in zip(usual, changed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_layer_is_as_before_afterwards() -> None:
    layer = nn.Conv2d(4, 4, 1)
    before = dict(vars(layer))
    with batch_invariant(exact_forwards(layer)):
        assert "forward" in vars(layer)
    assert vars(layer) == before


def test_convolutions_that_look_at_neighbours_are_left_alone() -> None:
    kept = nn.Conv2d(4, 8, 1)
    others = [
        nn.Conv2d(4, 8, 3),
        nn.Conv2d(4, 8, 1, stride=2),
        nn.Conv2d(4, 8, 1, groups=2),
        nn.Conv2d(4, 8, 1, padding=1),
    ]
    layers = nn.Sequential(*others, kept, nn.LayerNorm(4))
    assert [module for module, _ in exact_forwards(layers)] == [kept]


@pytest.mark.parametrize("shape", [(1, 8), (1, 1, 8), (8,)])
@pytest.mark.parametrize("packed", [True, False])
def test_no_matrix_is_multiplied_with_a_single_row(
    shape: tuple[int, ...], packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries have a kernel of its own for that, and a sample alone would round otherwise."""
    layer, rows, x = nn.Linear(8, 6).requires_grad_(False), [], torch.randn(shape)

    def seen(real: Any) -> Any:
        def call(x: Tensor, *others: Any) -> Tensor:
            rows.append(x.numel() // x.shape[-1])
            made: Tensor = real(x, *others)
            return made

        return call

    expected = gradient(layer, x)
    if packed:
        product = "_linear_pointwise"
        replace_forwards(layer, packed=True)
        monkeypatch.setattr(torch.ops.mkldnn, product, seen(torch.ops.mkldnn._linear_pointwise))
    else:
        monkeypatch.setattr(batch_invariance, "linear", seen(nn.functional.linear))
    with batch_invariant(exact_forwards(layer)):
        found = gradient(layer, x)
    assert set(rows) == {2}
    assert found[0].shape == expected[0].shape
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
