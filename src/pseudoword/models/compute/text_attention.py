"""Attention of transformers' models in the precision in which a CPU computes it fastest."""

from typing import Any

from torch import Tensor

from pseudoword.models.compute.precision import for_attention

NAME = "pseudoword"
"""transformers knows it by this name."""


def replace_attention(model: Any) -> None:
    """Let a text encoder compute attention as `for_attention` says, if it would use torch's.

    `model` is of transformers, and on a CPU or, for a plan of its memory, on the meta device.
    """
    if model.config._attn_implementation != "sdpa":
        return
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def _attend(
    module: Any,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    position_bias: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """As transformers' `sdpa_attention_forward`, in the precision of `for_attention`."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    wide = for_attention(queries, keys, values)
    dtype = wide[0].dtype
    if mask is not None and mask.is_floating_point():
        mask = mask.to(dtype)
    if position_bias is not None:
        position_bias = position_bias.to(dtype)
    attended, _ = sdpa_attention_forward(
        module, *wide, mask, position_bias=position_bias, **options
    )
    return attended.to(queries.dtype), None
