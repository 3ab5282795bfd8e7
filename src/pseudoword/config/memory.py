"""Settings that spend time to spare memory."""

from typing import ClassVar

from pseudoword.config.settings import Settings


class MemorySettings(Settings):
    """What spares memory; none changes what is learned beyond rounding."""

    heading: ClassVar[str] = "Memory"

    gradient_checkpointing: bool = False
    """Compute the activations of the U-Net again in the backward pass, instead of keeping them.
    Slower, with less memory."""
