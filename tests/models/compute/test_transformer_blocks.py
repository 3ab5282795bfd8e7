"""Transformer blocks as one function: the same numbers but for rounding, and nothing more kept."""

import copy
from typing import Any

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from pseudoword.models.compute import precision
from pseudoword.models.compute.frozen_layers import replace_forwards
from pseudoword.models.compute.transformer_blocks import replace_blocks, usual_blocks

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch comes without oneDNN"
)
needs_bfloat16 = pytest.mark.skipif(
    not precision.multiplies_in(torch.bfloat16), reason="this processor has no products in bfloat16"
)


def usual(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    block: nn.Module = BasicTransformerBlock(32, 4, 8, cross_attention_dim=24, **options)
    return block.requires_grad_(False).eval()


def layer_by_layer(block: nn.Module) -> nn.Module:
    own = nn.ModuleList([copy.deepcopy(block)])
    replace_forwards(own, packed=True)
    return own[0]


def as_one(block: nn.Module) -> nn.Module:
    own = nn.ModuleList([copy.deepcopy(block)])
    replace_forwards(own, packed=True)
    replace_blocks(own)
    return own[0]


def states(count: int = 6) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(1)
    return torch.randn(count, 16, 32, generator=made), torch.randn(count, 7, 24, generator=made)


def gradients(block: nn.Module, x: Tensor, text: Tensor) -> tuple[Tensor, ...]:
    """The output of `block`, and the gradients of a sum that weighs it unevenly."""
    x, text = (one.clone().requires_grad_() for one in (x, text))
    out = block(x, encoder_hidden_states=text)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    assert x.grad is not None
    assert text.grad is not None
    return out.detach(), x.grad, text.grad


def kept_nbytes(block: nn.Module, x: Tensor, text: Tensor) -> int:
    """Bytes that `block` keeps for its backward pass, beside its weights."""
    weights = {one.untyped_storage().data_ptr() for one in block.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not tensor.is_mkldnn and storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        block(x.requires_grad_(), encoder_hidden_states=text.requires_grad_()).sum().backward()
    return sum(found.values())


@pytest.mark.parametrize("bias", [False, True])
def test_a_block_gives_the_numbers_of_its_layers_but_for_rounding(bias: bool) -> None:
    block = usual(attention_bias=bias)
    found = gradients(as_one(block), *states())
    for other in (block, layer_by_layer(block)):
        for one, expected in zip(found, gradients(other, *states()), strict=True):
            torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-5)


@needs_bfloat16
@pytest.mark.parametrize("few", [1, 10_000], ids=["as it is", "attention in float32"])
def test_a_block_is_no_less_exact_in_bfloat16(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "FEW", few)
    block = usual()
    exact = gradients(copy.deepcopy(block).double(), *(one.double() for one in states()))
    inputs = [one.bfloat16() for one in states()]
    layers, whole = layer_by_layer(block.bfloat16()), as_one(block.bfloat16())
    for right, its, own in zip(
        exact, gradients(layers, *inputs), gradients(whole, *inputs), strict=True
    ):
        assert own.dtype is torch.bfloat16
        assert (own - right).norm() <= 1.25 * (its - right).norm()


def test_a_block_rounds_the_same_in_every_batch_and_without_a_gradient() -> None:
    block, (x, text) = as_one(usual()), states()
    whole, *of_inputs = gradients(block, x, text)
    with torch.no_grad():
        assert torch.equal(block(x[:2], encoder_hidden_states=text[:2]), whole[:2])
    weights = torch.linspace(-1, 1, whole.numel()).view_as(whole)[:2]
    x, text = x[:2].requires_grad_(), text[:2].requires_grad_()
    (block(x, encoder_hidden_states=text) * weights).sum().backward()
    for one, expected in zip((x.grad, text.grad), of_inputs, strict=True):
        assert one is not None
        assert torch.equal(one, expected[:2])


def test_only_the_gradients_that_are_asked_for_are_computed() -> None:
    block, (x, text) = as_one(usual()), states()
    _, of_x, of_text = gradients(block, x, text)
    weights = torch.linspace(-1, 1, x.numel()).view_as(x)
    for asked, other, expected in ((text, x, of_text), (x, text, of_x)):
        asked.requires_grad_()
        (block(x, encoder_hidden_states=text) * weights).sum().backward()
        assert asked.grad is not None
        assert torch.equal(asked.grad, expected)
        assert other.grad is None
        asked.requires_grad_(False)
        asked.grad = None


def test_a_block_keeps_no_more_than_its_layers_do() -> None:
    block = usual()
    assert kept_nbytes(as_one(block), *states()) <= kept_nbytes(layer_by_layer(block), *states())


def test_joined_weights_are_in_memory_once_and_stay_the_layers_own() -> None:
    block = usual()
    own: Any = as_one(block)
    gradients(own, *states())
    weights = [own.attn1.to_q.weight, own.attn1.to_k.weight, own.attn1.to_v.weight]
    assert len({weight.untyped_storage().data_ptr() for weight in weights}) == 1
    for name, weight in block.state_dict().items():
        assert torch.equal(own.state_dict()[name], weight)


def test_weights_that_were_written_to_are_joined_again() -> None:
    block: Any = as_one(usual())
    before = gradients(block, *states())
    with torch.no_grad():
        block.attn1.to_v.weight.mul_(2)
        block.attn2.to_k.weight.mul_(2)
    after = gradients(block, *states())
    fresh = usual()
    fresh.load_state_dict(block.state_dict())
    for old, new, expected in zip(before, after, gradients(fresh, *states()), strict=True):
        assert not torch.allclose(old, new)
        torch.testing.assert_close(new, expected, rtol=1e-5, atol=1e-5)


def test_a_copy_has_weights_of_its_own() -> None:
    block: Any = as_one(usual())
    before = gradients(block, *states())
    other = copy.deepcopy(block)
    with torch.no_grad():
        other.attn1.to_v.weight.zero_()
    assert all(map(torch.equal, gradients(block, *states()), before))
    assert not torch.allclose(gradients(other, *states())[0], before[0])


def test_a_block_with_a_mask_is_read_as_diffusers_reads_it() -> None:
    block, (x, text) = usual(), states()
    mask = torch.zeros(len(x), 1, text.shape[1])
    mask[..., 3:] = -1e4
    options = {"encoder_hidden_states": text, "encoder_attention_mask": mask}
    torch.testing.assert_close(as_one(block)(x, **options), block(x, **options))


def test_a_layer_that_somebody_wraps_or_trains_is_run_as_it_is() -> None:
    block: Any = as_one(usual())
    block.attn2.to_v.weight.requires_grad_()
    gradients(block, *states())
    assert block.attn2.to_v.weight.grad is not None
    block.attn2.to_v.requires_grad_(False)
    plain, own = block.attn2.to_v, gradients(block, *states())[0]
    other: Any = as_one(usual())
    for one in (block, other):  # it has been run before, or not
        one.attn2.to_v = nn.Sequential(one.attn2.to_v, nn.Dropout(1.0))
        assert not torch.allclose(gradients(one, *states())[0], own)
    block.attn2.to_v = plain
    assert torch.equal(gradients(block, *states())[0], own)


@pytest.mark.parametrize(
    "options",
    [
        {"norm_type": "ada_norm", "num_embeds_ada_norm": 4},
        {"only_cross_attention": True},
        {"activation_fn": "gelu"},
        {"dropout": 0.1},
        {"attention_type": "gated"},
        {"positional_embeddings": "sinusoidal", "num_positional_embeddings": 16},
    ],
    ids=str,
)
def test_other_kinds_of_blocks_are_left_as_they_are(options: dict[str, Any]) -> None:
    assert usual_blocks(nn.ModuleList([usual()]))
    assert not usual_blocks(nn.ModuleList([usual(**options)]))
