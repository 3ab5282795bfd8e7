"""Compute the activations of a text encoder again in the backward pass, instead of keeping them.

transformers does this in training mode only, which would also switch on T5's dropout.
"""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(model: nn.Module) -> None:
    """Keep only what goes into each transformer block of a frozen model (Chen et al. 2016).

    The results are the same. Nothing is computed again where no gradient is asked for.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    for block in model.modules():
        if isinstance(block, GradientCheckpointingLayer):
            block.forward = checkpointed(block.forward)


def checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward`, of which only what goes into it is kept for the backward pass."""

    def run(*args: Any, **kwargs: Any) -> Any:
        # there is no dropout, so that no random state need be kept
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return run
