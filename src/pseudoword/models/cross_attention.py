"""The cross-attention layers of a U-Net, and a different text for each of them (P+).

A layer is one spatial transformer. Its name is that of the latent-diffusion code, which files of
layered concepts use (Voynov et al. 2023, arXiv 2303.09522). All input blocks and output blocks are
counted, also those that only convolve or resample, so Stable Diffusion 1 has IN01, IN02, IN04 …
MID … OUT11.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pseudoword.errors import BaseModelError


def cross_attention_layers(unet: Any) -> dict[str, nn.Module]:
    """The spatial transformers of a diffusers U-Net by name, in the order in which they run.

    Empty if other parts of the U-Net read text too: it cannot get a different text per layer.
    """
    layers: dict[str, nn.Module] = {}
    place = 1  # the first input block is a convolution
    for block in unet.down_blocks:
        layers |= _numbered("IN", place, block)
        place += len(block.resnets) + bool(block.downsamplers)  # each counts as a block
    layers |= {f"MID{i or ''}": layer for i, layer in enumerate(_transformers(unet.mid_block))}
    place = 0
    for block in unet.up_blocks:
        layers |= _numbered("OUT", place, block)
        place += len(block.resnets)  # the last one also enlarges
    inside = {id(part) for layer in layers.values() for part in layer.modules()}
    read_elsewhere = any(
        getattr(part, "is_cross_attention", False) and id(part) not in inside
        for part in unet.modules()
    )
    return {} if read_elsewhere else layers


def join_layers(hidden: Tensor, layers: int) -> Tensor:
    """Join the texts of all layers `[layers·B, L, D]` along the tokens: `[B, layers·L, D]`."""
    return torch.cat(list(hidden.chunk(layers)), dim=1)


@contextmanager
def text_per_layer(unet: Any, layers: Mapping[str, nn.Module]) -> Iterator[None]:
    """While open, each of `layers` of a U-Net reads its own part of a text `[B, layers·L, D]`.

    A U-Net that also makes one vector of the text gets the mean of those of all parts.

    Raises:
        BaseModelError: the U-Net did not run one of them.
    """
    n, unused = len(layers), dict(enumerate(layers))

    def part(i: int) -> Callable[..., Any]:
        def select(_module: nn.Module, args: Any, options: dict[str, Any]) -> Any:
            unused.pop(i, None)
            whole = options["encoder_hidden_states"]
            return args, {**options, "encoder_hidden_states": whole.chunk(n, dim=1)[i]}

        return select

    hooks = [
        layer.register_forward_pre_hook(part(i), with_kwargs=True)
        for i, layer in enumerate(layers.values())
    ]
    if unet.config.addition_embed_type == "text":
        pooling = unet.add_embedding
        hooks += [
            pooling.register_forward_pre_hook(lambda _, args: torch.cat(args[0].chunk(n, dim=1))),
            pooling.register_forward_hook(lambda _, __, made: torch.stack(made.chunk(n)).mean(0)),
        ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if unused:
        raise BaseModelError(
            f"the U-Net did not use its layers {', '.join(unused.values())}, so their rows of a "
            "layered word are without effect"
        )


def _numbered(side: str, place: int, block: Any) -> dict[str, nn.Module]:
    return {f"{side}{place + i:02}": layer for i, layer in enumerate(_transformers(block))}


def _transformers(block: Any) -> list[nn.Module]:
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    attentions = getattr(block, "attentions", None) or []
    return [layer for layer in attentions if isinstance(layer, Transformer2DModel)]
