"""Store the linear layers of a frozen model in 8 or 4 bits. Gradients still pass through them.

8 bits: the weights of LLM.int8() (Dettmers et al. 2022). 4 bits: NF4 of QLoRA (Dettmers et al.
2023), from bitsandbytes. Other layers and all activations keep their precision.
"""

from collections.abc import Iterator
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from pseudoword.config import Quantize
from pseudoword.errors import BaseModelError


def quantize(model: nn.Module, kind: Quantize) -> nn.Module:
    """Replace the linear layers of `model`; 4 bits are packed when it moves to its device.

    Raises:
        BaseModelError: bitsandbytes is not installed.
    """
    if kind == "none":
        return model
    convert = Linear8bit if kind == "8bit" else _linear_4bit(kind)
    for parent, name, layer, bits in quantized_layers(model, kind):
        setattr(parent, name, Linear8bit(layer) if bits == "8bit" else convert(layer))
    return model


def quantized_layers(
    model: nn.Module, kind: Quantize
) -> Iterator[tuple[nn.Module, str, nn.Linear, Quantize]]:
    """The layers that `quantize` replaces: parent, name in it, layer, and what it becomes.

    Those that transformers keeps in 32 bits get no fewer than 8. T5 has some: they are sensitive,
    and it converts their input to the type of their weights, unless that is int8.
    """
    sensitive = getattr(model, "_keep_in_fp32_modules", None) or ()
    for parent in model.modules():
        for name, layer in parent.named_children():
            if _can_quantize(layer):
                yield parent, name, layer, "8bit" if name in sensitive else kind


def _can_quantize(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a layer is stored in fewer bits: small layers of unusual sizes are not."""
    if type(layer) is not nn.Linear:
        return False
    return layer.in_features % 64 == 0 and layer.out_features % 32 == 0


class Linear8bit(nn.Linear):
    """A frozen linear layer with int8 weights and one float scale per output row.

    The layer of bitsandbytes keeps its inputs for a weight gradient, which frozen weights do not
    need, so in training it takes more memory than 16 bits; and it cannot move between devices.
    """

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.compute_dtype = layer.weight.dtype  # called as in bitsandbytes, for diffusers
        weight = layer.weight.data.float()
        scale = weight.abs().amax(1) / 127
        rounded = (weight / scale.clamp_min(1e-30)[:, None]).round_().to(torch.int8)
        self.weight = nn.Parameter(rounded, requires_grad=False)
        self.scale: Tensor
        self.register_buffer("scale", scale)
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """A linear layer: `[..., in]` -> `[..., out]`, in the precision that it had.

        Some models convert what they feed a layer to the type of its weights, which is int8 here.
        """
        x = x.to(self.compute_dtype)
        product: Tensor = _DequantizedProduct.apply(x, self)  # type: ignore[no-untyped-call]
        return product


def dequantized(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights `[out, in]` of int8 as `dtype`; `scale` `[out]`."""
    return weight.to(dtype).mul_(scale[:, None])


class _DequantizedProduct(torch.autograd.Function):
    """A linear product that dequantizes the weights when needed, also for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Linear8bit) -> Tensor:
        ctx.save_for_backward(layer.weight, layer.scale)
        weight = dequantized(layer.weight, layer.scale, x.dtype)
        return nn.functional.linear(x, weight, layer.bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        weight, scale = ctx.saved_tensors  # the layer may have lost them by now (`block_offload`)
        return gradient @ dequantized(weight, scale, gradient.dtype), None


def _linear_4bit(kind: Quantize) -> Any:
    """A function that replaces a linear layer by bitsandbytes' layer of 4 bits."""
    try:
        import bitsandbytes.nn as bnb
    except ImportError as error:
        raise BaseModelError(
            f'--quantize {kind} needs bitsandbytes: pip install "pseudoword[quantize]"'
        ) from error

    def convert(layer: nn.Linear) -> Any:
        shape = (layer.in_features, layer.out_features, layer.bias is not None)
        weight = layer.weight.data
        packed = bnb.Linear4bit(*shape, compute_dtype=weight.dtype, quant_type="nf4", device="meta")
        packed.weight = bnb.Params4bit(weight, requires_grad=False, quant_type="nf4", module=packed)
        # On some CPUs it would repack itself when used without a gradient, and then pass none.
        packed.support_avx512bf16_for_cpu = False
        packed.bias = layer.bias
        return packed

    return convert
