"""Activations of a frozen U-Net that are cheap to compute again, so that they are not kept.

torch keeps the input of a group norm and of the SiLU after it, and of a gated GELU (Shazeer 2020,
arXiv 2002.05202) the gate, its GELU and the other half. Here the norm's input and what the gate's
linear layer gives are kept, and the rest is computed again by the same kernels in the same order:
the gradient is the same to the bit, in less memory. Only in bfloat16 on a CPU it is not: norms are
computed in float32 there, which is faster and more exact.

Only `forward` of these blocks is replaced; the blocks stay what they are.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pseudoword.models.compute.frozen_layers import learns_input_only
from pseudoword.models.compute.precision import for_norms


def replace_activations(unet: Any) -> Any:
    """Replace the `forward` of the residual blocks and gated GELUs of diffusers in `unet`.

    Returns:
        The same U-Net.
    """
    from diffusers.models.activations import GEGLU
    from diffusers.models.resnet import ResnetBlock2D

    block: Any
    for block in unet.modules():
        if type(block) is ResnetBlock2D and _is_usual(block):
            block.forward = partial(_residual, block)
        elif type(block) is GEGLU:
            block.forward = partial(_gated, block)
        elif type(block) is nn.GroupNorm:
            setattr(block, "forward", partial(_norm, block))  # noqa: B010 (a method, to mypy)
    return unet


def _is_usual(block: Any) -> bool:
    """Whether a residual block is as in Stable Diffusion, without an option of other models."""
    return (
        block.time_embedding_norm == "default"
        and type(block.nonlinearity) is nn.SiLU
        and not (block.up or block.down or block.dropout.p)
    )


def _residual(block: Any, x: Tensor, temb: Tensor, *_: object, **__: object) -> Tensor:
    """The block's own `forward`: `x` `[B, C, h, w]`, `temb` `[B, T]` -> `[B, D, h, w]`."""
    hidden: Tensor = block.conv1(_norm_and_silu(block.norm1, x))
    if block.time_emb_proj is not None and temb is not None:
        temb = temb if block.skip_time_act else block.nonlinearity(temb)
        hidden = hidden + block.time_emb_proj(temb)[:, :, None, None]
    hidden = block.conv2(_norm_and_silu(block.norm2, hidden))
    skipped: Tensor = x if block.conv_shortcut is None else block.conv_shortcut(x)
    total = skipped + hidden
    return total if block.output_scale_factor == 1 else total / block.output_scale_factor


def _gated(block: Any, x: Tensor, *_: object, **__: object) -> Tensor:
    """The block's own `forward`: `[B, L, C]` -> `[B, L, D]`."""
    both = block.proj(x)
    if not (torch.is_grad_enabled() and both.requires_grad):
        return gated_gelu(both)
    result: Tensor = _GatedGelu.apply(both)  # type: ignore[no-untyped-call]
    return result


def gated_gelu(both: Tensor) -> Tensor:
    """`[…, 2·D]` -> `[…, D]`: one half, times the GELU of the other."""
    value, gate = both.chunk(2, dim=-1)
    return F.gelu(gate).mul_(value)


def gated_gelu_gradient(gradient: Tensor, both: Tensor) -> Tensor:
    """The gradient of `both` halves, from that of the result."""
    value, gate = both.chunk(2, dim=-1)
    result = torch.empty_like(both)
    of_value, of_gate = result.chunk(2, dim=-1)
    torch.mul(gradient, value, out=of_gate)
    torch.ops.aten.gelu_backward(of_gate, gate, grad_input=of_gate)
    torch.mul(gradient, F.gelu(gate), out=of_value)
    return result


def _norm_and_silu(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """SiLU of the group norm of `x` `[B, C, h, w]`."""
    if not learns_input_only(norm, x):
        return F.silu(_norm(norm, x))
    result: Tensor = _NormAndSilu.apply(x, norm)  # type: ignore[no-untyped-call]
    return result


def _norm(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """The group norm of `x` `[B, C, h, w]`; what is converted for it is not kept."""
    if for_norms(x) is x:
        plain: Tensor = nn.GroupNorm.forward(norm, x)
        return plain
    if not learns_input_only(norm, x):
        weight, bias = for_norms(norm.weight), for_norms(norm.bias)
        return F.group_norm(for_norms(x), norm.num_groups, weight, bias, norm.eps).to(x.dtype)
    result: Tensor = _Norm.apply(x, norm)  # type: ignore[no-untyped-call]
    return result


class _Norm(torch.autograd.Function):
    """Keeps `x`, and its mean and deviation in each group."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: nn.GroupNorm) -> Tensor:
        return _keep_for_norm(ctx, x, norm).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _norm_gradient(for_norms(gradient), ctx.norm, *ctx.saved_tensors), None


class _NormAndSilu(torch.autograd.Function):
    """Keeps `x`, and its mean and deviation in each group."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: nn.GroupNorm) -> Tensor:
        return F.silu(_keep_for_norm(ctx, x, norm), inplace=True).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, mean, rstd, weight, bias = ctx.saved_tensors
        normed, _, _ = _group_norm(x, ctx.norm, weight, bias)
        of_norm = torch.ops.aten.silu_backward(for_norms(gradient), normed, grad_input=normed)
        return _norm_gradient(of_norm, ctx.norm, x, mean, rstd, weight), None


def _keep_for_norm(ctx: Any, x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """The group norm of `x`; what its backward pass needs is kept."""
    x = _as_the_kernel_reads_it(x)
    normed, mean, rstd = _group_norm(x, norm, norm.weight, norm.bias)
    # the norm may have lost its weights by the backward pass (`block_offload`)
    ctx.save_for_backward(x, mean, rstd, norm.weight, norm.bias)
    ctx.norm = norm
    result: Tensor = normed
    return result


def _norm_gradient(
    of_norm: Tensor,
    norm: nn.GroupNorm,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor,
    *_: Tensor,
) -> Tensor:
    """The gradient of the norm's input `x`, from that of its result."""
    found: Tensor = torch.ops.aten.native_group_norm_backward(
        of_norm.contiguous(memory_format=_layout(x)),
        for_norms(x),
        mean,
        rstd,
        for_norms(weight),
        *x.shape[:2],
        x[0, 0].numel(),
        norm.num_groups,
        [True, False, False],
    )[0]
    return found.to(x.dtype)


def _group_norm(x: Tensor, norm: nn.GroupNorm, weight: Tensor, bias: Tensor) -> Any:
    return torch.ops.aten.native_group_norm(
        *map(for_norms, (x, weight, bias)),
        *x.shape[:2],
        x[0, 0].numel(),
        norm.num_groups,
        norm.eps,
    )


def _as_the_kernel_reads_it(x: Tensor) -> Tensor:
    """As `torch.group_norm` does before it calls the kernel."""
    return x.contiguous(
        memory_format=_layout(x) if x.device.type == "cpu" else torch.contiguous_format
    )


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


class _GatedGelu(torch.autograd.Function):
    """Keeps `both` halves as the linear layer gave them."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        return gated_gelu(both)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (both,) = ctx.saved_tensors
        return gated_gelu_gradient(gradient, both)
