"""Where a processor has tiles for bfloat16, nothing is rounded by what is beside it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from pseudoword.models.compute import fixed_groups
from pseudoword.models.compute.fixed_groups import (
    PICTURES,
    ROWS,
    depends_on_pictures,
    depends_on_rows,
    in_fixed_pictures,
    in_fixed_rows,
)
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


def test_only_very_small_results_in_bfloat16_depend_on_the_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.randn(2, 3, 4, 4)
    monkeypatch.setattr(fixed_groups, "_has_tiles", lambda: True)
    assert depends_on_pictures(x.bfloat16(), (2, 4))
    assert not depends_on_pictures(x.bfloat16(), (3, 3))
    assert not depends_on_pictures(x, (1, 1))
    monkeypatch.setattr(fixed_groups, "_has_tiles", lambda: False)
    assert not depends_on_pictures(x.bfloat16(), (1, 1))


@pytest.mark.parametrize("count", [1, PICTURES, 19])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pictures_are_convolved_in_groups_of_one_size_to_the_same(
    count: int, layout: torch.memory_format
) -> None:
    kernel, groups = torch.randn(5, 3, 3, 3), []
    x = torch.randn(count, 3, 4, 2).contiguous(memory_format=layout)

    def convolution(x: Tensor) -> Tensor:
        groups.append(len(x))
        return conv2d(x, kernel, padding=1)

    found, expected = in_fixed_pictures(convolution, x), conv2d(x, kernel, padding=1)
    torch.testing.assert_close(found, expected)
    assert set(groups) == {PICTURES}
    assert found.is_contiguous(memory_format=layout)


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


@tiles
@pytest.mark.parametrize("channels", [(128, 128), (192, 192), (320, 128)])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (2, 1), (3, 1), (4, 2), (3, 2), (8, 1)])
def test_a_picture_and_its_gradient_are_rounded_as_if_alone(
    channels: tuple[int, int], size: int, stride: int
) -> None:
    layer = nn.Conv2d(*channels, 3, stride, 1, dtype=torch.bfloat16).requires_grad_(False)
    replace_forwards(layer, packed=True)
    shape = (128, channels[0], size, size)
    x = torch.randn(shape).bfloat16().contiguous(memory_format=torch.channels_last)
    weights = torch.randn_like(layer(x))

    def result(part: slice) -> tuple[Tensor, Tensor]:
        own = x[part].clone().requires_grad_()
        made = layer(own)
        (gradient,) = torch.autograd.grad(made, own, weights[part])
        return made.detach(), gradient

    whole = result(slice(None))
    for count in (1, 2, 4, 16):
        parts = [result(slice(at, at + count)) for at in range(0, len(x), count)]
        for found, expected in zip(zip(*parts, strict=True), whole, strict=True):
            assert torch.equal(torch.cat(found), expected), count
