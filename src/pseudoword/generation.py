"""Prompts + concepts -> pictures. Previews use this very function."""

from collections import Counter
from collections.abc import Sequence

from PIL.Image import Image
from torch import Generator

from pseudoword.concept import Concept, check_fit
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.families.base import Drawing, Family

AT_ONCE = 4
"""Pictures per pass through the pipeline."""


def generate(
    family: Family,
    prompts: Sequence[str],
    concepts: Sequence[Concept],
    *,
    seeds: Sequence[int],
    negative: str = "",
    guidance: float = 7.5,
    sampler_steps: int = 25,
    resolution: int | None = None,
) -> list[Image]:
    """Draw one picture per prompt; picture i depends on `prompts[i]` and `seeds[i]` only.

    Raises:
        ConceptError: a concept does not fit the model, or two have the same token.
        PromptError: a placeholder would be cut off.
        SettingsError: the resolution is none the model can draw.
    """
    size = check_resolution(family, resolution)
    how = Drawing(guidance, sampler_steps, width=size, height=size)
    words = {c.token: {k: v.to(family.device) for k, v in c.vectors.items()} for c in concepts}
    widths = {key: encoder.width for key, encoder in family.encoders.items()}
    for concept in concepts:
        check_fit(concept, widths, family.source.name)
    for token, times in Counter(c.token for c in concepts).items():
        if times > 1:
            raise ConceptError(f"{times} concepts are called {token}; each needs its own token")
    pictures: list[Image] = []
    for first in range(0, len(prompts), AT_ONCE):
        some = list(prompts[first : first + AT_ONCE])
        pictures += family.draw(
            some,
            [negative] * len(some),
            words,
            [Generator().manual_seed(seed) for seed in seeds[first : first + AT_ONCE]],
            how,
        )
    return pictures


def check_resolution(family: Family, resolution: int | None) -> int:
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
            f"--resolution {resolution} does not work with {family.source.name}: it must be a "
            f"multiple of {step}. The nearest is {near}; the model's own is {family.resolution}."
        )
    return resolution
