"""The transformer blocks of a frozen U-Net, each as one function with a backward pass of its own.

A small block takes longer to find its kernels than to compute: nine linear layers, a graph of forty
nodes, and gradients that are added one by one. Here the queries, keys and values that read the same
states are one matrix product, and autograd sees one node. The kernels are those of
`frozen_layers`, so this is for a CPU, and nothing is kept that they would not keep.

The block and its layers stay what they are. Only the block's `forward` is replaced.
"""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from pseudoword.models.compute.frozen_layers import JoinedLinear
from pseudoword.models.compute.precision import for_attention
from pseudoword.models.compute.unet_activations import gated_gelu, gated_gelu_gradient

aten = torch.ops.aten


def replace_blocks(unet: nn.Module) -> None:
    """Replace the `forward` of the blocks in `unet`, whose layers are laid out for oneDNN."""
    for block in usual_blocks(unet):
        setattr(block, "forward", _Forward(block))  # noqa: B010 (it is a method to the type checker)


def usual_blocks(unet: nn.Module) -> list[Any]:
    """The blocks of diffusers in `unet` that are as in Stable Diffusion, without other options."""
    kinds = {type(module).__name__ for module in unet.modules()}
    if "BasicTransformerBlock" not in kinds:  # without importing diffusers
        return []
    from diffusers.models.attention import BasicTransformerBlock

    blocks = (module for module in unet.modules() if type(module) is BasicTransformerBlock)
    return [block for block in blocks if _is_usual(block)]


def _is_usual(block: Any) -> bool:
    from diffusers.models.activations import GEGLU

    plain = block.norm_type == "layer_norm" and block.pos_embed is None and block.attn2 is not None
    return (
        plain
        and not (block.only_cross_attention or hasattr(block, "fuser"))
        and _is_usual_attention(block.attn1)
        and _is_usual_attention(block.attn2)
        and not block.attn1.is_cross_attention
        and type(block.ff.net[0]) is GEGLU
        and type(block.ff.net[2]) is nn.Linear
        and len(block.ff.net) == 3
        and not any(m.p for m in block.modules() if isinstance(m, nn.Dropout))
    )


def _is_usual_attention(attention: Any) -> bool:
    from diffusers.models.attention_processor import AttnProcessor2_0

    others = ("spatial_norm", "group_norm", "norm_q", "norm_k", "norm_cross")
    return (
        type(attention.processor) is AttnProcessor2_0
        and not any(getattr(attention, name) for name in others)
        and not attention.residual_connection
        and attention.rescale_output_factor == 1
        and attention.to_k is not None
        and all(
            type(layer) is nn.Linear
            for layer in (attention.to_q, attention.to_k, attention.to_v, attention.to_out[0])
        )
    )


def _linear_layers(block: Any) -> tuple[Any, ...]:
    one, two, wide = block.attn1, block.attn2, block.ff.net
    of_one = one.to_q, one.to_k, one.to_v, one.to_out[0]
    return *of_one, two.to_q, two.to_k, two.to_v, two.to_out[0], wide[0].proj, wide[2]


class _Forward:
    """The `forward` of a block."""

    def __init__(self, block: Any) -> None:
        self.block = block
        self._known: _Layers | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """For the copy of the block; its weights are laid out anew."""
        return type(self)(copy.deepcopy(self.block, memo))

    def __call__(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        *more: Any,
        **options: Any,
    ) -> Tensor:
        """As the block's own."""
        x, text = hidden_states, encoder_hidden_states
        masked = attention_mask is not None or encoder_attention_mask is not None
        layers = self._layers()
        if layers is None or text is None or masked:
            given = (x, attention_mask, text, encoder_attention_mask, *more)
            plain: Tensor = type(self.block).forward(self.block, *given, **options)
            return plain
        if not torch.is_grad_enabled():
            return layers.run(x, text)[0]
        result: Tensor = _Run.apply(x, text, layers)  # type: ignore[no-untyped-call]
        return result

    def _layers(self) -> "_Layers | None":
        """The block's layers; None where somebody trains or wraps one, as peft does for a LoRA."""
        now = _linear_layers(self.block)
        if any(type(layer) is not nn.Linear or layer.weight.requires_grad for layer in now):
            return None
        if self._known is None or self._known.linear != now:
            self._known = _Layers(self.block)
        return self._known


class _Layers:
    """The layers of a block: states `[B, L, C]` and text `[B, T, D]` -> `[B, L, C]`."""

    def __init__(self, block: Any) -> None:
        self.linear = _linear_layers(block)
        q1, k1, v1, out1, q2, k2, v2, out2, widen, narrow = self.linear
        self.norms = block.norm1, block.norm2, block.norm3
        self.read = JoinedLinear(q1, k1, v1)
        self.ask, self.read_text = JoinedLinear(q2), JoinedLinear(k2, v2)
        self.attend = _Attention(block.attn1.heads, out1)
        self.attend_text = _Attention(block.attn2.heads, out2)
        self.widen, self.narrow = JoinedLinear(widen), JoinedLinear(narrow)

    def run(self, x: Tensor, text: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The block's result, and what its backward pass needs."""
        norm1, norm2, norm3 = self.norms
        normed, *kept1 = _layer_norm(norm1, x)
        queries, keys, values = self.read.run(normed).chunk(3, dim=-1)
        mixed, *attended1 = self.attend.run(queries, keys, values)
        after1 = mixed.add_(x)
        normed, *kept2 = _layer_norm(norm2, after1)
        keys, values = self.read_text.run(text).chunk(2, dim=-1)
        mixed, *attended2 = self.attend_text.run(self.ask.run(normed), keys, values)
        after2 = mixed.add_(after1)
        normed, *kept3 = _layer_norm(norm3, after2)
        both = self.widen.run(normed)
        result = self.narrow.run(gated_gelu(both)).add_(after2)
        return result, [x, *kept1, *attended1, after1, *kept2, *attended2, after2, *kept3, both]

    def gradients(
        self, of_result: Tensor, saved: Sequence[Tensor], asked: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of the states and of the text, where they are asked for."""
        x, *kept1, q1, k1, v1, out1, lse1, after1 = saved[:9]
        *kept2, q2, k2, v2, out2, lse2, after2 = saved[9:17]
        *kept3, both = saved[17:]
        of_both = gated_gelu_gradient(self.narrow.input_gradient(of_result), both)
        of_normed = self.widen.input_gradient(of_both)
        of_after2 = _layer_norm_gradient(self.norms[2], of_normed, after2, *kept3).add_(of_result)
        of_q, *of_kv = self.attend_text.gradients(of_after2, q2, k2, v2, out2, lse2)
        of_text = self.read_text.input_gradient(torch.cat(of_kv, dim=-1)) if asked[1] else None
        if not asked[0]:
            return None, of_text
        of_normed = self.ask.input_gradient(of_q)
        of_after1 = _layer_norm_gradient(self.norms[1], of_normed, after1, *kept2).add_(of_after2)
        of_read = self.attend.gradients(of_after1, q1, k1, v1, out1, lse1)
        of_normed = self.read.input_gradient(torch.cat(of_read, dim=-1))
        of_x = _layer_norm_gradient(self.norms[0], of_normed, x, *kept1).add_(of_after1)
        return of_x, of_text


class _Run(torch.autograd.Function):
    """Keeps what the layers of the block would keep."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, text: Tensor, layers: _Layers) -> Tensor:
        result, saved = layers.run(x, text)
        ctx.layers = layers
        ctx.save_for_backward(*saved)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return *ctx.layers.gradients(gradient, ctx.saved_tensors, ctx.needs_input_grad), None


class _Attention:
    """Attention of several heads, and the layer that mixes them."""

    def __init__(self, heads: int, out: nn.Linear) -> None:
        self._heads = heads
        self.out = JoinedLinear(out)

    def run(self, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        """Of `[B, L, C]`, `[B, T, C]` twice: the result, and what the backward pass needs."""
        split = [self._split(part) for part in (queries, keys, values)]
        wide = for_attention(*split)
        attended, log_sums = aten._scaled_dot_product_flash_attention_for_cpu(*wide)
        attended = attended.to(queries.dtype)
        return self.out.run(_joined(attended)), *split, attended, log_sums

    def gradients(self, of_result: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
        """The gradients of queries, keys and values, each like it."""
        of_attended = self._split(self.out.input_gradient(of_result))
        *split, attended, log_sums = saved
        *wide, attended, of_attended = for_attention(*split, attended, of_attended)
        backward = aten._scaled_dot_product_flash_attention_for_cpu_backward
        found = backward(of_attended, *wide, attended, log_sums, 0.0, False)
        return tuple(_joined(one.to(of_result.dtype)) for one in found)

    def _split(self, states: Tensor) -> Tensor:
        """`[B, L, C]` -> `[B, heads, L, C / heads]`."""
        split: Tensor = states.unflatten(-1, (self._heads, -1))
        return split.transpose(1, 2)


def _joined(states: Tensor) -> Tensor:
    """`[B, heads, L, C / heads]` -> `[B, L, C]`."""
    joined: Tensor = states.transpose(1, 2).flatten(2)
    return joined


def _layer_norm(norm: nn.LayerNorm, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The norm of `x`, its means, and the inverse of its deviations."""
    return torch.native_layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _layer_norm_gradient(
    norm: nn.LayerNorm, gradient: Tensor, x: Tensor, mean: Tensor, rstd: Tensor
) -> Tensor:
    found: Tensor = aten.native_layer_norm_backward(
        gradient, x, norm.normalized_shape, mean, rstd, norm.weight, norm.bias, [True, False, False]
    )[0]
    return found
