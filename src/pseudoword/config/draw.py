"""How pictures are drawn."""

from typing import Annotated, ClassVar

from pydantic import Field

from pseudoword.config.settings import BaseChoice


class DrawConfig(BaseChoice):
    """How pictures are drawn."""

    heading: ClassVar[str] = "Drawing"

    n: Annotated[int, Field(ge=1)] = 1
    """How many pictures."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the first picture; each further one adds 1."""

    negative: str = ""
    """What the picture should not show; concepts work here too."""

    guidance: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    """How strongly to follow the prompt (classifier-free guidance); 1 is off; by default 7.5, or
    what the model asks for."""

    guidance_rescale: Annotated[float | None, Field(ge=0, le=1)] = None
    """How far to bring the contrast that guidance adds back to what the prompt alone gives, 0 to 1;
    0.7 is usual for models of v-prediction. By default 0, or what the model asks for."""

    sampler_steps: Annotated[int, Field(ge=1)] = 25
    """Denoising steps per picture."""

    resolution: Annotated[int | None, Field(ge=8)] = None
    """Side of the picture in pixels; by default the model's own."""

    width: Annotated[int | None, Field(ge=8)] = None
    """Width in pixels, if the picture is not square."""

    height: Annotated[int | None, Field(ge=8)] = None
    """Height in pixels, if the picture is not square."""

    scheduler: str | None = None
    """One of diffusers' schedulers, for example DPMSolverMultistep; by default the model's own."""

    offload: bool = False
    """Keep on the device only the part at work: slower, and it fits in less memory."""

    lora: tuple[str, ...] = ()
    """A LoRA file, FILE or FILE:WEIGHT (needs the extra `lora`). May be repeated."""
