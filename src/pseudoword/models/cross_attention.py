"""Where a U-Net reads its text: the cross-attention layers, and other text for each (P+).

A layer is one spatial transformer. It is named as in the code of latent diffusion, by which words
with rows for each layer (Voynov et al. 2023, arXiv 2303.09522) are saved: input blocks and output
blocks are counted with those that only convolve or resample, so that Stable Diffusion 1 has IN01,
IN02, IN04 … MID … OUT11.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pseudoword.errors import BaseModelError


def layers_of(unet: Any) -> dict[str, nn.Module]:
    """The spatial transformers of a diffusers U-Net by name, in the order in which they compute.

    None where text is also read elsewhere, since such a U-Net cannot be given other text for each.
    """
    found: dict[str, nn.Module] = {}
    place = 1  # the first input block is a convolution
    for block in unet.down_blocks:
        found |= _numbered("IN", place, block)
        place += len(block.resnets) + bool(block.downsamplers)  # a block each
    found |= {f"MID{i or ''}": one for i, one in enumerate(_transformers(unet.mid_block))}
    place = 0
    for block in unet.up_blocks:
        found |= _numbered("OUT", place, block)
        place += len(block.resnets)  # the last of them also enlarges
    inside = {id(part) for one in found.values() for part in one.modules()}
    elsewhere = any(
        getattr(part, "is_cross_attention", False) and id(part) not in inside
        for part in unet.modules()
    )
    return {} if elsewhere else found


def side_by_side(hidden: Tensor, layers: int) -> Tensor:
    """Hidden states for each layer `[layers·B, L, D]` as one text `[B, layers·L, D]`."""
    return torch.cat(list(hidden.chunk(layers)), dim=1)


@contextmanager
def each_its_own(layers: Mapping[str, nn.Module]) -> Iterator[None]:
    """While open, each of `layers` reads its own part of a text `[B, layers·L, D]`.

    Raises:
        BaseModelError: one of them was not asked at all.
    """
    silent = dict(enumerate(layers))

    def part(i: int) -> Callable[..., Any]:
        def take(_module: nn.Module, args: Any, given: dict[str, Any]) -> Any:
            silent.pop(i, None)
            whole = given["encoder_hidden_states"].unflatten(1, (len(layers), -1))
            return args, {**given, "encoder_hidden_states": whole[:, i]}

        return take

    hooks = [
        layer.register_forward_pre_hook(part(i), with_kwargs=True)
        for i, layer in enumerate(layers.values())
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if silent:
        raise BaseModelError(
            f"the U-Net did not use its layers {', '.join(silent.values())}, so their rows of a "
            "layered word are without effect"
        )


def _numbered(side: str, place: int, block: Any) -> dict[str, nn.Module]:
    return {f"{side}{place + i:02}": one for i, one in enumerate(_transformers(block))}


def _transformers(block: Any) -> list[nn.Module]:
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    inside = getattr(block, "attentions", None) or []
    return [one for one in inside if isinstance(one, Transformer2DModel)]
