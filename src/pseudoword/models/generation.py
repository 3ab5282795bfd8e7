"""Prompts + concepts -> pictures. Previews use this very function."""

from collections import Counter
from collections.abc import Sequence
from typing import TypedDict, Unpack

from PIL.Image import Image
from torch import Generator

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats.infotext import KEYWORD, SAMPLERS, infotext
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.family import Family, GenerationSettings
from pseudoword.models.lora import Lora
from pseudoword.models.picture_size import picture_size
from pseudoword.placeholders import as_written
from pseudoword.text import public, visible

PICTURES_PER_PASS = 4
"""Pictures per pass through the pipeline."""


class Asked(TypedDict, total=False):
    """What a drawing may be asked for; what is left out, or None, is the model's own."""

    guidance: float | None
    guidance_rescale: float | None
    sampler_steps: int
    """25 by default"""
    resolution: int | None
    """side of a square picture in pixels"""
    width: int | None
    height: int | None
    scheduler: str | None
    """one of diffusers' schedulers by name"""


def generate(
    family: Family,
    prompts: Sequence[str],
    concepts: Sequence[Concept],
    *,
    seeds: Sequence[int],
    negative: str = "",
    loras: Sequence[Lora] = (),
    **asked: Unpack[Asked],
) -> list[Image]:
    """Draw one picture per prompt; picture i depends on `prompts[i]` and `seeds[i]` only.

    A word is found in a prompt as `placeholders.split` says, and always where it is `named`.

    Pictures are squares of `resolution`, by default the model's own, unless `width` or `height`
    says otherwise; `guidance` and `guidance_rescale` are what the model asks for, if not given. How
    each was drawn is in its `info`, and goes into a PNG it is saved to.

    Raises:
        ConceptError: a concept does not fit the model, or two have the same token.
        PromptError: a placeholder would be cut off.
        SettingsError: as `check`.
        BaseModelError: a LoRA does not fit.
    """
    settings = check(family, **asked)
    words = {c.token: {k: v.to(family.device) for k, v in c.vectors.items()} for c in concepts}
    for concept in concepts:
        check_compatible(concept, family)
    for token, times in Counter(c.token for c in concepts).items():
        if times > 1:
            raise ConceptError(f"{times} concepts are called {token}; each needs its own token")
    pictures: list[Image] = []
    with family.changed_by(loras):
        for first in range(0, len(prompts), PICTURES_PER_PASS):
            some = list(prompts[first : first + PICTURES_PER_PASS])
            pictures += family.draw(
                some,
                [negative] * len(some),
                words,
                [
                    Generator().manual_seed(seed)
                    for seed in seeds[first : first + PICTURES_PER_PASS]
                ],
                settings,
            )
    for picture, prompt, seed in zip(pictures, prompts, seeds, strict=True):
        drawn = as_written(prompt), as_written(negative)
        picture.info[KEYWORD] = infotext(*drawn, _infotext_values(family, settings, seed, loras))
    return pictures


def check(family: Family, **asked: Unpack[Asked]) -> GenerationSettings:
    """How pictures will be drawn by these settings of `generate`, which checks them so itself.

    Takes milliseconds, so that what is drawn after long work can be checked before it.

    Raises:
        SettingsError: a side is none the model can draw, the scheduler is not known or cannot take
            so many steps, or the model cannot rescale guidance.
    """
    guidance, rescale = asked.get("guidance"), asked.get("guidance_rescale")
    width, height = picture_size(
        asked.get("resolution"),
        asked.get("width"),
        asked.get("height"),
        own=family.resolution,
        multiple_of=family.resolution_step,
        model=family.source.name,
    )
    settings = GenerationSettings(
        family.guidance if guidance is None else guidance,
        family.guidance_rescale if rescale is None else rescale,
        asked.get("sampler_steps", 25),
        width,
        height,
        asked.get("scheduler"),
    )
    family.check(settings)
    return settings


def _infotext_values(
    family: Family, settings: GenerationSettings, seed: int, loras: Sequence[Lora]
) -> dict[str, object]:
    kind = type(family.scheduler(settings.scheduler)).__name__
    values = {
        "Steps": settings.sampler_steps,
        "Sampler": SAMPLERS.get(kind, kind.removesuffix("Scheduler")),
        "CFG scale": settings.guidance,
        "Seed": seed,
        "Size": f"{settings.width}x{settings.height}",
        "Model": public(family.source.name),
    }
    if settings.guidance_rescale:
        values["CFG Rescale"] = settings.guidance_rescale
    if loras:
        values["Lora"] = ", ".join(f"{visible(path.stem)}: {weight:g}" for path, weight in loras)
    return values
