"""Activations that are computed again: the same numbers to the bit, in less memory."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.activations import GEGLU
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from pseudoword.models import base_model
from pseudoword.models.compute.frozen_layers import replace_forwards
from pseudoword.models.compute.unet_activations import replace_activations


def gradient(block: nn.Module, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
    """The output of `block`, and the gradients of a sum that weighs it unevenly."""
    asked = [one.detach().clone().requires_grad_() for one in (x, *more)]
    out = block(*asked)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    assert all(one.grad is not None for one in asked)
    return out.detach(), *(one.grad for one in asked if one.grad is not None)


def replaced(block: nn.Module) -> nn.Module:
    own = nn.ModuleList([copy.deepcopy(block)])
    replace_activations(own)
    replace_forwards(own, packed=False)
    return own[0]


def kept(block: nn.Module, *inputs: Tensor) -> int:
    """Bytes that `block` keeps for its backward pass, beside its inputs and weights."""
    given = {one.data_ptr() for one in (*inputs, *block.parameters())}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in given:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = block(*inputs)
    del out
    return sum(found.values())


BLOCKS: dict[str, Any] = {
    "same width": {},
    "wider": {"out_channels": 32},
    "scaled": {"output_scale_factor": 2.0},
    "another norm": {"time_embedding_norm": "scale_shift"},
    "smaller": {"down": True},
}


LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def residual(
    kind: str, dtype: torch.dtype, layout: torch.memory_format
) -> tuple[nn.Module, Tensor, Tensor]:
    """A block of that kind, with inputs."""
    torch.manual_seed(0)
    block = ResnetBlock2D(in_channels=16, temb_channels=12, groups=4, **BLOCKS[kind])
    x, temb = torch.randn(3, 16, 6, 6).to(memory_format=layout), torch.randn(3, 12)
    return block.to(dtype).requires_grad_(False).eval(), x.to(dtype), temb.to(dtype)


@LAYOUTS
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_residual_block_gives_its_own_numbers_to_the_bit(
    kind: str, layout: torch.memory_format
) -> None:
    block, *inputs = residual(kind, torch.float32, layout)
    usual, ours = gradient(block, *inputs), gradient(replaced(block), *inputs)
    assert all(torch.equal(one, other) for one, other in zip(usual, ours, strict=True))


def no_less_exact(block: nn.Module, *inputs: Tensor) -> None:
    """What replaces a `block` is as near to its numbers in float64 as it is itself."""
    exact = gradient(copy.deepcopy(block).double(), *(one.double() for one in inputs))
    usual, ours = gradient(block, *inputs), gradient(replaced(block), *inputs)
    for right, its, own in zip(exact, usual, ours, strict=True):
        assert own.dtype is torch.bfloat16
        assert (own - right).norm() <= 1.25 * (its - right).norm()


@LAYOUTS
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_residual_block_is_no_less_exact_in_bfloat16(
    kind: str, layout: torch.memory_format
) -> None:
    no_less_exact(*residual(kind, torch.bfloat16, layout))


@LAYOUTS
def test_a_group_norm_is_no_less_exact_in_bfloat16(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, 16).requires_grad_(False)
    for weight in norm.parameters():
        nn.init.normal_(weight)
    x = 5 + torch.randn(3, 16, 6, 6).to(memory_format=layout)
    no_less_exact(norm.bfloat16(), x.bfloat16())
    learning, _ = gradient(replaced(norm), x.bfloat16())
    with torch.no_grad():
        assert torch.equal(replaced(norm)(x.bfloat16()), learning)


def test_a_group_norm_in_bfloat16_that_somebody_trains_gets_its_gradients() -> None:
    torch.manual_seed(0)
    norm, x = nn.GroupNorm(2, 4).bfloat16(), torch.randn(2, 4, 3, 3).bfloat16()
    own = replaced(norm)
    for one in (norm, own):
        one(x).square().sum().backward()
    for weight, other in zip(norm.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gated_gelu_gives_its_own_numbers_to_the_bit(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    block = GEGLU(8, 20).to(dtype).requires_grad_(False)
    x = torch.randn(2, 5, 8, dtype=dtype)
    usual, ours = gradient(block, x), gradient(replaced(block), x)
    assert all(torch.equal(one, other) for one, other in zip(usual, ours, strict=True))


def test_less_is_kept() -> None:
    block = ResnetBlock2D(in_channels=16, temb_channels=12, groups=4).requires_grad_(False).eval()
    x, temb = torch.randn(2, 16, 8, 8, requires_grad=True), torch.randn(2, 12)
    assert kept(replaced(block), x, temb) < 0.3 * kept(block, x, temb)
    gate, y = GEGLU(8, 20).requires_grad_(False), torch.randn(2, 5, 8, requires_grad=True)
    assert kept(replaced(gate), y) < 0.7 * kept(gate, y)


def test_in_bfloat16_nothing_is_kept_in_float32_but_means_and_deviations() -> None:
    whole, half = (
        kept(replaced(block), x.requires_grad_(), temb)
        for block, x, temb in (
            residual("same width", dtype, torch.contiguous_format)
            for dtype in (torch.float32, torch.bfloat16)
        )
    )
    means = 2 * 2 * 3 * 4 * 4  # of two norms, three pictures and four groups, in bytes
    assert 0 < half - means <= 0.5 * (whole - means)


@pytest.mark.usefixtures("own_kernels")
def test_the_gradient_of_a_whole_u_net_is_the_same_to_the_bit(any_base: Path) -> None:
    family: Any = base_model.load_named(str(any_base), "cpu")
    if family.denoiser_part != "unet":
        pytest.skip("its denoiser is no U-Net")
    plain = copy.deepcopy(family.denoiser)
    blocks = [block for block in plain.modules() if isinstance(block, GEGLU | ResnetBlock2D)]
    assert blocks
    for block in blocks:
        del block.forward
    torch.manual_seed(0)
    noisy, t = torch.randn(2, 4, 8, 8), torch.tensor([3, 700])
    width = family.denoiser.config.cross_attention_dim
    text = torch.randn(2, 7, width)
    pooled = torch.randn(2, 40)
    found = []
    for unet in (plain, family.denoiser):
        asked = text.clone().requires_grad_()
        added = {"text_embeds": pooled, "time_ids": torch.ones(2, 6)}
        out = unet(noisy, t, asked, added_cond_kwargs=added, return_dict=False)[0]
        out.square().sum().backward()
        found.append((out.detach(), asked.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])  # type: ignore[arg-type]
