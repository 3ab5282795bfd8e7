"""1×1 convolutions are matrix products while a word is learned, and only then."""

import torch
from torch import Tensor, nn

from pseudoword.training.batch_invariance import batch_invariant, pointwise_convolutions


def gradient(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The output of `layer`, and the gradient of a sum that weighs it unevenly."""
    x = x.clone().requires_grad_()
    out = layer(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad


def test_a_pointwise_convolution_gives_what_it_gave() -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(6, 10, 1), torch.randn(3, 6, 5, 7)
    usual = gradient(layer, x)
    with batch_invariant([layer]):
        changed = gradient(layer, x)
    for one, other in zip(usual, changed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_layer_is_as_before_afterwards() -> None:
    layer = nn.Conv2d(4, 4, 1)
    before = dict(vars(layer))
    with batch_invariant([layer]):
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
    assert pointwise_convolutions([nn.Sequential(*others, kept), nn.Linear(4, 4)]) == [kept]
