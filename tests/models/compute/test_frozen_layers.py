"""Layers of a frozen model: what they compute, what they keep, and that they stay what they are."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.limit import counted_flops
from pseudoword.models import base_model
from pseudoword.models.compute import frozen_layers
from pseudoword.models.compute.frozen_layers import can_pack, packed_nbytes, replace_forwards

CONVOLUTIONS: dict[str, Callable[[], nn.Conv2d]] = {
    "3x3": lambda: nn.Conv2d(6, 10, 3, padding=1),
    "1x1": lambda: nn.Conv2d(6, 10, 1),
    "no bias": lambda: nn.Conv2d(6, 10, 3, bias=False),
    "smaller": lambda: nn.Conv2d(6, 10, 3, stride=2, padding=1),
    "wide padding": lambda: nn.Conv2d(6, 10, 3, padding=4),
    "groups": lambda: nn.Conv2d(6, 10, 3, padding=1, groups=2),
    "dilation": lambda: nn.Conv2d(6, 10, 3, padding=2, dilation=2),
    "not square": lambda: nn.Conv2d(6, 10, (3, 1), padding=(1, 0)),
    "same": lambda: nn.Conv2d(6, 10, 3, padding="same"),
    "mirrored": lambda: nn.Conv2d(6, 10, 3, padding=1, padding_mode="reflect"),
}
needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch comes without oneDNN"
)
needs_bfloat16 = pytest.mark.skipif(
    not torch.cpu._is_avx512_bf16_supported(), reason="this processor does not compute in bfloat16"
)
PRECISIONS = [
    pytest.param(torch.float32, 1e-5, id="float32"),
    pytest.param(torch.bfloat16, 2e-2, id="bfloat16", marks=needs_bfloat16),
]
"""And how far results may be apart: one rounds sums that the other does not."""


def gradient(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The output of `layer`, and the gradient of a sum that weighs it unevenly."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    out = layer(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad


def replaced(layer: nn.Module, packed: bool) -> nn.Module:
    own = copy.deepcopy(layer).requires_grad_(False)
    replace_forwards(own, packed=packed)
    return own


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_frozen_convolution_gives_torch_s_numbers_to_the_bit(
    kind: str, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    layer = CONVOLUTIONS[kind]().to(dtype).requires_grad_(False)
    x = torch.randn(3, 6, 9, 7, dtype=dtype).to(memory_format=layout)
    for one, other in zip(gradient(layer, x), gradient(replaced(layer, False), x), strict=True):
        assert torch.equal(one, other)


@needs_onednn
@pytest.mark.parametrize(("dtype", "near"), PRECISIONS)
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_packed_convolution_gives_torch_s_numbers_but_for_rounding(
    kind: str, dtype: torch.dtype, near: float
) -> None:
    torch.manual_seed(0)
    layer = CONVOLUTIONS[kind]().to(dtype).requires_grad_(False)
    packed, x = replaced(layer, True), torch.randn(3, 6, 9, 7, dtype=dtype)
    for size in (3, 1):  # laid out for the first batch, used for all
        for one, other in zip(gradient(layer, x[:size]), gradient(packed, x[:size]), strict=True):
            torch.testing.assert_close(one, other, rtol=near, atol=near)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), packed(x), rtol=near, atol=near)


@needs_onednn
@pytest.mark.parametrize(("dtype", "near"), PRECISIONS)
@pytest.mark.parametrize("shape", [(5, 12), (2, 3, 12)])
def test_a_packed_linear_layer_gives_torch_s_numbers_but_for_rounding(
    shape: tuple[int, ...], dtype: torch.dtype, near: float
) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(12, 20).to(dtype).requires_grad_(False), torch.randn(shape).to(dtype)
    for one, other in zip(gradient(layer, x), gradient(replaced(layer, True), x), strict=True):
        torch.testing.assert_close(one, other, rtol=near, atol=near)


@needs_onednn
@pytest.mark.parametrize(
    "layer", [nn.Conv2d(32, 48, 3, padding=1), nn.Conv2d(32, 48, 1)], ids=["3x3", "1x1"]
)
def test_a_packed_layer_rounds_the_same_in_every_batch(layer: nn.Module) -> None:
    torch.manual_seed(0)
    packed, x = replaced(layer, True), torch.randn(12, 32, 8, 8)
    whole = packed(x)
    assert torch.equal(packed(x[:4]), whole[:4])


@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=needs_onednn)])
def test_a_frozen_convolution_keeps_no_input(packed: bool) -> None:
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    layer = replaced(nn.Conv2d(6, 10, 3, padding=1), packed)
    x = torch.randn(2, 6, 5, 5, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x).sum().backward()
    assert all(tensor.data_ptr() != x.data_ptr() for tensor in kept)
    assert x.grad is not None


@needs_onednn
def test_weights_that_were_written_to_are_laid_out_again() -> None:
    torch.manual_seed(0)
    layer, x = replaced(nn.Sequential(nn.Conv2d(4, 4, 3), nn.Linear(7, 7)), True), torch.ones(9, 9)
    x = x.expand(1, 4, 9, 9)
    before = gradient(layer, x)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(2)
    after = gradient(layer, x)
    assert all(not torch.allclose(one, two) for one, two in zip(before, after, strict=True))
    torch.testing.assert_close(after[1], 4 * before[1])


@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=needs_onednn)])
def test_a_copy_has_weights_of_its_own(packed: bool) -> None:
    model, x = replaced(nn.Sequential(nn.Conv2d(4, 4, 3)), packed), torch.ones(1, 4, 9, 9)
    before, other = model(x), copy.deepcopy(model)
    with torch.no_grad():
        other[0].weight.zero_()  # type: ignore[index]
    assert torch.equal(model(x), before)
    assert not torch.allclose(other(x), before)


@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=needs_onednn)])
def test_weights_that_are_not_frozen_still_get_their_gradient(packed: bool) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(7, 7))
    replace_forwards(model, packed=packed)
    model(torch.randn(1, 4, 9, 9, requires_grad=True)).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_a_model_s_layers_stay_what_they_are(base: Path) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    kinds = {type(layer) for layer in family.denoiser.modules()}
    assert {nn.Conv2d, nn.Linear} <= kinds
    assert not any("frozen_layers" in kind.__module__ for kind in kinds)
    plain = type(family.denoiser).from_config(family.denoiser.config)
    assert list(family.denoiser.state_dict()) == list(plain.state_dict())


def test_weights_are_laid_out_where_the_cpu_has_memory_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 1), nn.Linear(8, 8)).eval()
    cpu, weights = torch.device("cpu"), sum(weight.nbytes for weight in model.parameters())
    assert packed_nbytes(model) == 4 * (2 * 4 * 8 * 9 + 8 * 8 + 8 * 8)
    enough = (weights + packed_nbytes(model)) / frozen_layers.LARGEST_SHARE
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(frozen_layers, "memory_nbytes", lambda _device: enough + 1)
    assert can_pack(model, cpu, torch.float32)
    assert not can_pack(model, torch.device("cuda"), torch.float32)
    for supported in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda found=supported: found)
        assert can_pack(model, cpu, torch.bfloat16) == supported
    assert not can_pack(model, cpu, torch.float16)
    monkeypatch.setattr(frozen_layers, "memory_nbytes", lambda _device: enough - 1)
    assert not can_pack(model, cpu, torch.float32)


@needs_onednn
def test_packed_layers_count_as_much_work_as_torch_s() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 6, 1), nn.Conv2d(6, 4, 3, stride=2)
    )
    model = nn.Sequential(model, nn.Linear(4, 7)).requires_grad_(False)
    x = torch.randn(2, 4, 9, 9, requires_grad=True)
    packed = replaced(model, True)
    assert counted_flops(lambda: packed(x).sum().backward()) == counted_flops(
        lambda: model(x).sum().backward()
    )
