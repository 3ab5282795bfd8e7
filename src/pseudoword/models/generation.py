"""Draw pictures from prompts with concepts. Previews use this function too."""

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
"""In one call of the pipeline."""


class GenerationOptions(TypedDict, total=False):
    """What may be set for a drawing; what is missing or None has the model's default."""

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
    **options: Unpack[GenerationOptions],
) -> list[Image]:
    """Draw one picture per prompt; picture i depends on `prompts[i]` and `seeds[i]` only.

    `placeholders.split` finds the tokens in a prompt.

    The settings are in each picture's `info`, and are saved with it in a PNG.

    Raises:
        ConceptError: a concept does not fit the model, or two have the same token.
        PromptError: a placeholder would be cut off.
        SettingsError: as in `check`.
        BaseModelError: a LoRA does not fit.
    """
    settings = check(family, **options)
    words = {c.token: {k: v.to(family.device) for k, v in c.vectors.items()} for c in concepts}
    for concept in concepts:
        check_compatible(concept, family)
    for token, times in Counter(c.token for c in concepts).items():
        if times > 1:
            raise ConceptError(f"{times} concepts are called {token}; each needs its own token")
    pictures: list[Image] = []
    with family.with_loras(loras):
        for first in range(0, len(prompts), PICTURES_PER_PASS):
            part = slice(first, first + PICTURES_PER_PASS)
            generators = [Generator().manual_seed(seed) for seed in seeds[part]]
            negatives = [negative] * len(generators)
            pictures += family.draw(prompts[part], negatives, words, generators, settings)
    for picture, prompt, seed in zip(pictures, prompts, seeds, strict=True):
        values = _infotext_values(family, settings, seed, loras)
        picture.info[KEYWORD] = infotext(as_written(prompt), as_written(negative), values)
    return pictures


def check(family: Family, **options: Unpack[GenerationOptions]) -> GenerationSettings:
    """Check settings of `generate` without drawing, and fill in the defaults.

    It takes milliseconds, so settings can be checked before long work.

    Raises:
        SettingsError: the model cannot draw this size, the scheduler is unknown or cannot take so
            many steps, or the model cannot rescale guidance.
    """
    guidance, rescale = options.get("guidance"), options.get("guidance_rescale")
    width, height = picture_size(
        options.get("resolution"),
        options.get("width"),
        options.get("height"),
        own=family.resolution,
        multiple_of=family.resolution_step,
        model=family.source.name,
    )
    settings = GenerationSettings(
        family.guidance if guidance is None else guidance,
        family.guidance_rescale if rescale is None else rescale,
        options.get("sampler_steps", 25),
        width,
        height,
        options.get("scheduler"),
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
