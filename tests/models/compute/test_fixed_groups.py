"""Where a processor has tiles for bfloat16, a row is rounded in the same way beside any others."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pseudoword.models.compute import fixed_groups
from pseudoword.models.compute.fixed_groups import ROWS, depends_on_rows, in_fixed_rows
from pseudoword.models.compute.frozen_layers import JoinedLinear, replace_forwards
from pseudoword.training.batch_invariance import batch_invariant, exact_forwards

tiles = pytest.mark.skipif(
    not fixed_groups._has_tiles(), reason="this processor has no tiles for bfloat16"
)


@pytest.mark.parametrize("shape", [(1, 6), (ROWS, 6), (3, ROWS, 6), (2, 5, 7, 6), (6,)])
def test_products_are_of_one_number_of_rows_and_give_the_same(shape: tuple[int, ...]) -> None:
    weight, x, rows = torch.randn(4, 6), torch.randn(shape), []

    def product(x: Tensor) -> Tensor:
        rows.append(len(x))
        return linear(x, weight)

    torch.testing.assert_close(in_fixed_rows(product, x), linear(x, weight))
    assert set(rows) == {ROWS}
    assert len(rows) == -(-x.numel() // 6 // ROWS)


def test_only_long_sums_in_bfloat16_depend_on_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(3, 4)
    monkeypatch.setattr(fixed_groups, "_has_tiles", lambda: True)
    assert depends_on_rows(x.bfloat16(), 64, 512)
    assert not depends_on_rows(x.bfloat16(), 64, 511)
    assert not depends_on_rows(x, 4096)
    assert not depends_on_rows(x.bfloat16().to("meta"), 4096)
    monkeypatch.setattr(fixed_groups, "_has_tiles", lambda: False)
    assert not depends_on_rows(x.bfloat16(), 4096)


def packed(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    replace_forwards(layer, packed=True)
    return layer


def joined(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    return JoinedLinear(layer).run


def gradient_of_joined(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    turned = nn.Linear(layer.out_features, layer.in_features, bias=False, dtype=torch.bfloat16)
    both = JoinedLinear(turned.requires_grad_(False))
    both.run(torch.zeros(2, layer.out_features, dtype=torch.bfloat16))
    return both.input_gradient


@tiles
@pytest.mark.parametrize("made", [packed, joined, gradient_of_joined])
@pytest.mark.parametrize(("read", "written"), [(512, 128), (1024, 256), (768, 1536)])
def test_a_row_is_rounded_as_if_alone(
    made: Callable[[nn.Linear], Callable[[Tensor], Tensor]], read: int, written: int
) -> None:
    layer = made(nn.Linear(read, written, dtype=torch.bfloat16).requires_grad_(False))
    x = torch.randn(640, read, dtype=torch.bfloat16)
    whole = layer(x)
    for count in (1, 16, 64, 77, 128, 192, 308):
        assert torch.equal(layer(x[:count]), whole[:count]), count


@tiles
@pytest.mark.parametrize(("read", "written"), [(1024, 256), (256, 1024)])
def test_so_is_one_of_a_layer_of_torch_and_its_gradient(read: int, written: int) -> None:
    layer = nn.Linear(read, written, dtype=torch.bfloat16).requires_grad_(False)
    x = torch.randn(640, read, dtype=torch.bfloat16)
    weights = torch.randn(640, written, dtype=torch.bfloat16)

    def result(count: int) -> tuple[Tensor, Tensor]:
        rows = x[:count].clone().requires_grad_()
        out = layer(rows)
        out.backward(weights[:count])
        assert rows.grad is not None
        return out.detach(), rows.grad

    with batch_invariant(exact_forwards(layer)):
        whole, whole_gradient = result(640)
        for count in (1, 16, 64, 77, 128, 192, 308):
            some, gradient = result(count)
            assert torch.equal(some, whole[:count]), count
            assert torch.equal(gradient, whole_gradient[:count]), count
