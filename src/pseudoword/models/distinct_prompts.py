"""Each prompt of a batch is encoded once, however often it occurs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from pseudoword.models.family import Condition, Family
from pseudoword.models.reading.injection import Words


def encode_distinct(family: Family, prompts: Sequence[str], words: Words) -> Condition:
    """`family.encode_text` of `B` prompts, but for the order in which gradients are added."""
    places = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    found = family.encode_text([*places], words)
    if len(places) == len(prompts):
        return found
    chosen = torch.tensor([places[prompt] for prompt in prompts], device=found.hidden.device)
    spread: dict[str, Any] = {
        name: tensor.index_select(0, chosen) for name, tensor in found.tensors.items()
    }
    return replace(found, **spread)
