"""Settings of a base model that stays in memory for several calls."""

from typing import ClassVar

from pseudoword.config.base_choice import BaseChoice


class LoadConfig(BaseChoice):
    """Which base model `load` puts into memory, and how."""

    heading: ClassVar[str] = "Memory"

    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass of training, instead of keeping them. Slower,
    with less memory. Drawing is as without it."""
