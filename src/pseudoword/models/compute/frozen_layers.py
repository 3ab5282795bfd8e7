"""Convolutions and linear layers of a frozen model, without work for gradients nobody asks for.

A convolution of torch keeps its input for the gradient of its weights, also if they are frozen.
Here it does not. And on a CPU, oneDNN computes with weights that are laid out for it once: torch
lays those of a convolution out in each call, which for small pictures takes longer than the
convolution itself, and in float32 leaves linear layers to another library, which uses half of the
width of AMD's processors. In bfloat16 that is done where the processor multiplies in it; then it is
twice as fast as in float32.

The layers stay what they are: their class, names and weights. Only their `forward` is replaced.
"""

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from pseudoword.models.compute.allocator import lasting_blocks
from pseudoword.models.compute.device_memory import memory_nbytes
from pseudoword.models.compute.fixed_groups import (
    ROWS,
    depends_on_pictures,
    depends_on_rows,
    in_fixed_pictures,
    in_fixed_rows,
)
from pseudoword.models.compute.precision import multiplies_in

LARGEST_SHARE = 0.6
"""Of the memory there is, that a model may take together with its weights as laid out. A share of
what happens to be free would let the same run round in another way on another day."""


def replace_forwards(model: nn.Module, *, packed: bool) -> None:
    """Replace the `forward` of the convolutions and linear layers of a frozen model.

    Args:
        model: none of its parameters asks for a gradient.
        packed: use oneDNN, with weights laid out for it when a layer is first used. Results differ
            by rounding. Otherwise they are torch's own, bit for bit.
    """
    for layer in model.modules():
        if (own := _forward(layer, packed)) is not None:
            setattr(layer, "forward", own)  # noqa: B010 (it is a method to the type checker)


def _forward(layer: nn.Module, packed: bool) -> Callable[[Tensor], Tensor] | None:
    """The `forward` that replaces the layer's own, if one does."""
    if type(layer) is nn.Linear:
        return _PackedLinear(layer) if packed else None
    if type(layer) is not nn.Conv2d:
        return None
    if is_pointwise(layer):
        # The others are matrix products while a word is learned: `training.batch_invariance`.
        return _PackedPointwise(layer) if packed else None
    if not _pads_with_zeros(layer):
        return None
    return _PackedConvolution(layer) if packed else functools.partial(_convolve, layer)


def can_pack(model: nn.Module, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether to lay out the weights of `model`; the same each time on one machine.

    Args:
        model: frozen; it may be on the meta device.
        device: where it computes.
        dtype: in which precision.
    """
    if device.type != "cpu" or not multiplies_in(dtype):
        return False
    have = memory_nbytes(device)
    weights = sum(weight.nbytes for weight in model.parameters())
    return have is not None and weights + packed_nbytes(model) <= LARGEST_SHARE * have


def packed_nbytes(model: nn.Module, backward: bool = True) -> int:
    """Bytes of the weights of `model` as laid out; for `backward` convolutions need two layouts."""
    total = 0
    for layer in model.modules():
        if type(layer) is nn.Linear or (type(layer) is nn.Conv2d and is_pointwise(layer)):
            total += layer.weight.nbytes
        elif type(layer) is nn.Conv2d and _pads_with_zeros(layer):
            total += (1 + (backward and _turns(layer))) * layer.weight.nbytes
    return total


def _pads_with_zeros(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def is_pointwise(layer: nn.Conv2d) -> bool:
    """Whether it mixes the channels of each position, and nothing else."""
    plain = layer.groups == 1 and layer.padding in {(0, 0), "valid", "same"}
    return plain and layer.kernel_size == layer.stride == (1, 1)


def _turns(layer: nn.Conv2d) -> bool:
    """Whether the gradient of the input is a convolution too, with the kernel turned around."""
    paddings = zip(layer.kernel_size, layer.padding, strict=True)
    fits = all(isinstance(p, int) and p < size for size, p in paddings)
    return fits and layer.stride == layer.dilation == (1, 1) and layer.groups == 1


def learns_input_only(layer: nn.Conv2d | nn.Linear | nn.GroupNorm, x: Tensor) -> bool:
    """Whether a gradient of the input `x` is asked for, and none of the layer's weights."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return False
    bias = layer.bias  # asked for by name, since this runs hundreds of times in a step
    return not (layer.weight.requires_grad or (bias is not None and bias.requires_grad))


def _convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """As torch, to the bit; `x` `[B, C, h, w]` is not kept."""
    if not learns_input_only(layer, x):
        return nn.Conv2d.forward(layer, x)
    result: Tensor = _Convolution.apply(x, layer)  # type: ignore[no-untyped-call]
    return result


class _Convolution(torch.autograd.Function):
    """Keeps no tensor but the weight, which the layer may have lost by then (`block_offload`)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.Conv2d) -> Tensor:
        ctx.layer, ctx.shape, ctx.stride = layer, x.shape, x.stride()
        ctx.save_for_backward(layer.weight)
        return nn.Conv2d.forward(layer, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return _input_gradient(ctx.layer, weight, gradient, ctx.shape, ctx.stride), None


def _input_gradient(
    layer: nn.Conv2d, weight: Tensor, gradient: Tensor, shape: torch.Size, stride: tuple[int, ...]
) -> Tensor:
    """As torch computes it. Of the input, only the shape and the layout are read."""
    x = torch.empty_strided(shape, stride, dtype=gradient.dtype, device=gradient.device)
    result: Tensor = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        layer.stride,
        layer.padding,
        layer.dilation,
        False,
        [0, 0],
        layer.groups,
        [True, False, False],
    )[0]
    return result


class _Packed(ABC):
    """The `forward` of a layer with weights laid out for oneDNN."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._made_from: tuple[int, int] | None = None
        self._packs: dict[str, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        if learns_input_only(self.layer, x):
            result: Tensor = _PackedLayer.apply(x, self)  # type: ignore[no-untyped-call]
            return result
        if x.requires_grad and torch.is_grad_enabled():  # somebody trains the weights
            plain: Tensor = type(self.layer).forward(self.layer, x)
            return plain
        return self.run(x)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """For the copy of the layer; its weights are laid out anew."""
        return type(self)(copy.deepcopy(self.layer, memo))

    @abstractmethod
    def run(self, x: Tensor) -> Tensor:
        """The result for the input `x`."""

    @abstractmethod
    def input_gradient(
        self, gradient: Tensor, shape: torch.Size, stride: tuple[int, ...]
    ) -> Tensor:
        """The gradient of an input of that shape and layout."""

    def pack(self, use: str, make: Callable[[Tensor], Tensor]) -> Tensor:
        """The weight, laid out by `make` for that use; again where it was written to."""
        weight = self.layer.weight
        made_from = weight.data_ptr(), weight._version
        if made_from != self._made_from:
            self._made_from, self._packs = made_from, {}
        if use not in self._packs:
            with lasting_blocks():
                self._packs[use] = make(weight.detach())
        return self._packs[use]


class _PackedLayer(torch.autograd.Function):
    """Keeps no tensor: the layer has the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: _Packed) -> Tensor:
        ctx.packed, ctx.shape, ctx.stride = packed, x.shape, x.stride()
        return packed.run(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.packed.input_gradient(gradient, ctx.shape, ctx.stride), None


class _PackedLinear(_Packed):
    """`[…, C]` -> `[…, D]`."""

    def run(self, x: Tensor) -> Tensor:
        weight = self.pack("forward", lambda w: _reordered_matrix(w, x))
        return _product(x, weight, self.layer.bias)

    def input_gradient(
        self, gradient: Tensor, _shape: torch.Size, _stride: tuple[int, ...]
    ) -> Tensor:
        return _product(gradient, self.layer.weight.t(), None)  # as fast as one that is laid out


class JoinedLinear:
    """Frozen linear layers that read the same input, as one: `[…, C]` -> `[…, D₁ + D₂ + …]`.

    For whoever computes the gradient of the input without autograd. The weights of the layers
    become parts of one matrix, so that they are in memory once.
    """

    def __init__(self, *layers: nn.Linear) -> None:
        self.layers = layers
        self._made_from: list[tuple[int, int]] = []
        self._forward, self._backward = torch.empty(0), torch.empty(0)
        self._bias: Tensor | None = None

    def run(self, x: Tensor) -> Tensor:
        """The outputs of the layers, one behind the other."""
        if self._state() != self._made_from:
            self._lay_out(x)
        return _product(x, self._forward, self._bias)

    def input_gradient(self, gradient: Tensor) -> Tensor:
        """The gradient of the input of `run`."""
        return _product(gradient, self._backward, None)

    @lasting_blocks()
    def _lay_out(self, x: Tensor) -> None:
        """Join the weights, and lay them out for inputs like `x`."""
        weights: list[Tensor] = [layer.weight for layer in self.layers]
        whole = weights[0].detach()
        if len(weights) > 1:
            whole = torch.cat(weights).detach()
            parts = whole.split([len(weight) for weight in weights])
            for weight, part in zip(weights, parts, strict=True):
                weight.data = part
        self._forward, self._backward = _reordered_matrix(whole, x), whole.t()
        biases = [layer.bias for layer in self.layers if layer.bias is not None]
        self._bias = torch.cat(tuple(biases)).detach() if biases else None
        self._made_from = self._state()

    def _state(self) -> list[tuple[int, int]]:
        """What changes where a weight is written to, or replaced."""
        return [(layer.weight.data_ptr(), layer.weight._version) for layer in self.layers]


class _PackedPointwise(_Packed):
    """A 1×1 convolution as a product over positions: `[B, C, h, w]` -> `[B, D, h, w]`.

    So it rounds the same in every batch, which convolutions that small do not.
    """

    def run(self, x: Tensor) -> Tensor:
        by_position = x.permute(0, 2, 3, 1)
        weight = self.pack("forward", lambda w: _reordered_matrix(w.flatten(1), by_position))
        return _product(by_position, weight, self.layer.bias).permute(0, 3, 1, 2)

    def input_gradient(
        self, gradient: Tensor, _shape: torch.Size, _stride: tuple[int, ...]
    ) -> Tensor:
        matrix = self.layer.weight.flatten(1).t()
        return _product(gradient.permute(0, 2, 3, 1), matrix, None).permute(0, 3, 1, 2)


class _PackedConvolution(_Packed):
    """`[B, C, h, w]` -> `[B, D, h', w']`."""

    def run(self, x: Tensor) -> Tensor:
        layer = self.layer
        how = (layer.padding, layer.stride, layer.dilation, layer.groups)
        weight = self.pack("forward", lambda w: _reordered_kernel(w, x, *how))
        sizes = zip(x.shape[2:], layer.kernel_size, *how[:3], strict=True)
        size = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, p, s, d in sizes]
        return _convolution(x, weight, layer.bias, *how, size)

    def input_gradient(
        self, gradient: Tensor, shape: torch.Size, stride: tuple[int, ...]
    ) -> Tensor:
        layer = self.layer
        if not _turns(layer):
            if len(gradient) > 1:
                return _input_gradient(layer, layer.weight, gradient, shape, stride)
            # One sample has a kernel of its own, which rounds in another way.
            twice = gradient.expand(2, -1, -1, -1).contiguous()
            whole = torch.Size([2, *shape[1:]])
            return _input_gradient(layer, layer.weight, twice, whole, stride)[:1]
        padding = [size - 1 - p for size, p in zip(layer.kernel_size, layer.padding, strict=True)]
        how = (padding, [1, 1], [1, 1], 1)

        def turned(w: Tensor) -> Tensor:
            return _reordered_kernel(w.flip(2, 3).transpose(0, 1).contiguous(), gradient, *how)

        return _convolution(gradient, self.pack("backward", turned), None, *how, shape[2:])


# torch's own compiler calls oneDNN by these; they have no other names.


def _reordered_matrix(weight: Tensor, x: Tensor) -> Tensor:
    rows = max(x.numel() // x.shape[-1], 2)
    if depends_on_rows(x, x.shape[-1]):
        rows = ROWS
    made: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return made


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    def product(x: Tensor) -> Tensor:
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return made

    if depends_on_rows(x, x.shape[-1]):
        return in_fixed_rows(product, x)
    if x.numel() == x.shape[-1]:  # one row has a kernel of its own, which rounds in another way
        return product(torch.stack([x, x]))[0]
    return product(x)


def _reordered_kernel(
    weight: Tensor, x: Tensor, padding: Any, stride: Any, dilation: Any, groups: int
) -> Tensor:
    made: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, padding, stride, dilation, groups, list(x.shape)
    )
    return made


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: Any,
    stride: Any,
    dilation: Any,
    groups: int,
    size: Sequence[int],
) -> Tensor:
    def convolution(x: Tensor) -> Tensor:
        made: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, padding, stride, dilation, groups, "none", [], ""
        )
        return made

    return in_fixed_pictures(convolution, x) if depends_on_pictures(x, size) else convolution(x)
