"""The part of a language model that is needed to read prompts.

Pipelines take the hidden states of some blocks. The blocks behind these, the head that predicts the
next token and the part that sees pictures would take memory and time for nothing.
"""

from typing import Any

from torch import nn


def up_to(model: Any, last: int = -1) -> Any:
    """The text part of a language model of transformers, without what is behind its last block.

    Its hidden states are those of the whole model, as far as they go.

    Args:
        model: it is taken apart.
        last: which of `hidden_states` is the last one read, 1 behind the first block and -1
            behind all and their normalisation.

    Raises:
        ValueError: it has fewer blocks.
    """
    text = model.get_decoder()
    count = len(text.layers)
    if last > count:
        raise ValueError(f"it has {count} blocks, and what the block {last} gives is to be read")
    kept = last % (count + 1)
    if kept < count:
        text.layers = text.layers[:kept]
        text.config.num_hidden_layers = kept
        text.norm = nn.Identity()  # it is for what the last of all blocks gives
    return text
