"""Prompts + concepts -> pictures. Previews use this very function."""

from collections import Counter
from collections.abc import Sequence

from PIL.Image import Image
from torch import Generator

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.formats.infotext import KEYWORD, SAMPLERS, infotext
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.family import Family, GenerationSettings
from pseudoword.models.lora import Lora
from pseudoword.placeholders import as_written
from pseudoword.text import public, visible

PICTURES_PER_PASS = 4
"""Pictures per pass through the pipeline."""


def generate(
    family: Family,
    prompts: Sequence[str],
    concepts: Sequence[Concept],
    *,
    seeds: Sequence[int],
    negative: str = "",
    guidance: float | None = None,
    guidance_rescale: float | None = None,
    sampler_steps: int = 25,
    resolution: int | None = None,
    width: int | None = None,
    height: int | None = None,
    scheduler: str | None = None,
    loras: Sequence[Lora] = (),
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
    settings = check(
        family,
        guidance=guidance,
        guidance_rescale=guidance_rescale,
        sampler_steps=sampler_steps,
        resolution=resolution,
        width=width,
        height=height,
        scheduler=scheduler,
    )
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


def check(
    family: Family,
    *,
    guidance: float | None = None,
    guidance_rescale: float | None = None,
    sampler_steps: int = 25,
    resolution: int | None = None,
    width: int | None = None,
    height: int | None = None,
    scheduler: str | None = None,
) -> GenerationSettings:
    """How pictures will be drawn by these settings of `generate`, which checks them so itself.

    Takes milliseconds, so that what is drawn after long work can be checked before it.

    Raises:
        SettingsError: a side is none the model can draw, the scheduler is not known or cannot take
            so many steps, or the model cannot rescale guidance.
    """
    whole = check_resolution(family, resolution)
    settings = GenerationSettings(
        family.guidance if guidance is None else guidance,
        family.guidance_rescale if guidance_rescale is None else guidance_rescale,
        sampler_steps,
        check_resolution(family, width or whole, "--width"),
        check_resolution(family, height or whole, "--height"),
        scheduler,
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


def check_resolution(family: Family, resolution: int | None, flag: str = "--resolution") -> int:
    """`resolution`, or the model's own.

    Raises:
        SettingsError: it is not a multiple the model can work with.
    """
    step = family.resolution_step
    if resolution is None:
        return family.resolution
    if resolution % step:
        near = max(step, round(resolution / step) * step)
        raise SettingsError(
            f"{flag} {resolution} does not work with {family.source.name}: it must be a "
            f"multiple of {step}. The nearest is {near}; the model's own is {family.resolution}."
        )
    return resolution
