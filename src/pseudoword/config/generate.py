"""How pictures are drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pseudoword import lookup
from pseudoword.config.base_choice import BaseChoice
from pseudoword.config.fields import (
    GUIDANCE,
    OFTEN,
    SAMPLER_STEPS,
    SIDE_PX,
    Name,
    Pictures,
    Place,
    Seed,
    SideOfSquare,
)
from pseudoword.config.other_trainers.aliases import Alias, Synonyms
from pseudoword.config.schedulers import check_known
from pseudoword.config.settings import Idle
from pseudoword.errors import SettingsError
from pseudoword.text import brief

Emphasis = Literal["original", "no-norm", "none"]

EMPHASES: Mapping[Emphasis, str] = {"original": "Original", "no-norm": "No norm", "none": "None"}
"""How weights in a prompt are applied -> AUTOMATIC1111's name. The first is the default there."""

MOST_WEIGHT = 100
"""Largest absolute weight of a LoRA; 1 is usual."""


def file_and_weight(text: str) -> tuple[Path, float]:
    """Read `FILE` or `FILE:WEIGHT` of a LoRA; the name of the file may contain a colon.

    Raises:
        SettingsError: there is no such file, or the weight is no number, or a huge one.
    """
    name, colon, last = text.rpartition(":")
    # An existing file is a file, whatever its name; so is `C:\\x`, also if it does not exist.
    has_weight = (
        colon and not lookup.exists(lookup.expand_home(text)) and not {"/", "\\"} & set(last)
    )
    path = lookup.find(name if has_weight else text, "--lora")
    if not isinstance(path, Path) or path.is_dir():
        raise SettingsError(
            f"--lora {brief(text)}: there is no such file here. Give FILE or FILE:WEIGHT."
        )
    try:
        weight = float(last) if has_weight else 1.0
    except ValueError:
        raise SettingsError(
            f"--lora {brief(text)}: {brief(last)!r} after the last : is no number"
        ) from None
    if not abs(weight) <= MOST_WEIGHT:
        raise SettingsError(f"--lora {brief(text)}: a weight of {weight:g} is beyond {MOST_WEIGHT}")
    return path, weight


class GenerateConfig(BaseChoice):
    """How pictures are drawn."""

    heading: ClassVar[str] = "Drawing"

    idle: ClassVar = {
        "negative": Idle("without guidance (--guidance above 1)", lambda s: s.unguided),
        "guidance_rescale": Idle("without guidance (--guidance above 1)", lambda s: s.unguided),
        "toward_word": Idle("without --toward", lambda s: not s.toward),
        "resolution": Idle("beside --width and --height", lambda s: s.width and s.height),
    }

    n: Annotated[Pictures, OFTEN, Alias("num_images_per_prompt")] = 1
    """Number of pictures."""

    seed: Annotated[Seed, OFTEN] = 0
    """Seed of the first picture; the next ones have seed + 1 and so on."""

    negative: Annotated[str, OFTEN, Alias("negative_prompt")] = ""
    """What the picture should not show; new words work here too."""

    guidance: Annotated[float | None, GUIDANCE, OFTEN, Alias("guidance_scale", "cfg_scale")] = None
    """How strongly to follow the prompt (classifier-free guidance). 1 is off. The default is 7.5,
    or the model's own; models that are distilled to few steps mostly have none."""

    guidance_rescale: Annotated[float | None, Field(ge=0, le=1)] = None
    """How much to reduce the contrast that guidance adds, from 0 to 1. 0.7 is usual for models with
    v-prediction. The default is 0, or the model's own."""

    sampler_steps: Annotated[
        int | None, SAMPLER_STEPS, OFTEN, Alias("num_inference_steps", "steps")
    ] = None
    """Denoising steps per picture. The default is 25, or fewer for a model that is distilled to
    few steps, such as FLUX.1 schnell."""

    resolution: Annotated[SideOfSquare, OFTEN] = None
    """Side of the picture in pixels; by default the model's own."""

    width: Annotated[int | None, SIDE_PX] = None
    """Width in pixels, if the picture is not square."""

    height: Annotated[int | None, SIDE_PX] = None
    """Height in pixels, if the picture is not square."""

    emphasis: Annotated[
        Emphasis | None,
        Synonyms({theirs: ours for ours, theirs in EMPHASES.items()}),
    ] = None
    """How weights in the prompts are applied, such as (red:1.3), ((red)) and [red]: original or
    no-norm, as in AUTOMATIC1111. With none, brackets and BREAK are plain text. The default is
    original, or the model's own."""

    toward: Annotated[float, Field(ge=0, le=1)] = 0
    """How far to turn the new words towards the known words they began as, from 0 (as learned) to 1
    (all the way). The length of their rows is kept."""

    toward_word: Name | None = None
    """The known word for --toward, for new words whose file names none, such as those of other
    tools."""

    rows: Annotated[int | None, Field(ge=1)] = None
    """Draw with only the first so many vectors of each new word, for prompts with many other words.
    It does not suit words that were learned with train --nested 0, or by other tools. By default,
    all."""

    scheduler: Annotated[Name | None, Alias("sampler", "sampler_name")] = None
    """One of diffusers' schedulers, for example DPMSolverMultistep or "DPM++ 2M Karras"; by default
    the model's own."""

    offload: bool = False
    """Keep only the part of the model that is at work on the device. Slower, with less memory."""

    lora: tuple[Place, ...] = ()
    """A LoRA file, FILE or FILE:WEIGHT (needs the extra `lora`). May be repeated."""

    @property
    def unguided(self) -> bool:
        """Whether classifier-free guidance is off, so that the negative prompt is not used."""
        return self.guidance is not None and self.guidance <= 1

    @model_validator(mode="after")
    def _a_seed_for_each(self) -> Self:
        if self.seed + self.n > 2**63:
            raise SettingsError(f"--seed {self.seed}: no seeds are left for -n {self.n} pictures")
        return self

    def check_there(self) -> None:
        """Also the LoRAs and the scheduler."""
        super().check_there()
        if self.scheduler is not None:
            check_known(self.scheduler, "--scheduler")
        for one in self.lora:
            file_and_weight(one)
