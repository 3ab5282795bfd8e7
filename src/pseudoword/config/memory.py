"""Settings that spend time to spare memory."""

from typing import ClassVar

from pseudoword.config.settings import Idle, Settings


class MemorySettings(Settings):
    """What spares memory; none changes what is learned beyond rounding."""

    heading: ClassVar[str] = "Memory"

    idle: ClassVar = {
        "gradient_checkpointing": Idle(
            "beside --offload, which does the same",
            lambda s: s.gradient_checkpointing and s.offload,
        )
    }

    gradient_checkpointing: bool = False
    """Compute the activations of the denoiser and of the text encoders again in the backward pass,
    instead of keeping them. Slower, with less memory."""

    offload: bool = False
    """Keep the blocks of the denoiser and of the text encoders in main memory, and each on the GPU
    only while it is at work. Much less memory and much slower; what --gradient-checkpointing does
    is done, too."""
