"""Draw pictures from prompts with concepts. Previews use this function too."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TypedDict, Unpack

from PIL.Image import Image
from torch import Generator, no_grad

from pseudoword.concept import Concept
from pseudoword.config import Emphasis
from pseudoword.config.generate import EMPHASES
from pseudoword.config.schedulers import sampler_name
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.formats.infotext import KARRAS, KEYWORD, SCHEDULE, infotext
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.family import Family, GenerationSettings
from pseudoword.models.lora import Lora
from pseudoword.models.picture_size import picture_size
from pseudoword.models.reading.chunks import count_chunks
from pseudoword.models.reading.injection import Words, row_counts
from pseudoword.models.reading.prompts import ChunkedPrompts, Prompts
from pseudoword.placeholders import as_written
from pseudoword.prompt_weights import has_signs, parse, plain
from pseudoword.text import public, visible

PICTURES_PER_PASS, MOST_PER_PASS = 4, 16
"""Pictures in one call of the pipeline: at least, and at most where they are small."""

PIXELS_PER_PASS = PICTURES_PER_PASS * 512**2
"""So many pictures have as many pixels as those of Stable Diffusion 1.5."""


class GenerationOptions(TypedDict, total=False):
    """What may be set for a drawing; what is missing or None has the model's default."""

    guidance: float | None
    guidance_rescale: float | None
    sampler_steps: int | None
    resolution: int | None
    """side of a square picture in pixels"""
    width: int | None
    height: int | None
    scheduler: str | None
    """one of diffusers' schedulers by name"""
    emphasis: Emphasis | None
    """how the weights in prompts are applied"""


def generate(
    family: Family,
    prompts: Sequence[str],
    concepts: Sequence[Concept],
    *,
    seeds: Sequence[int],
    negative: str = "",
    loras: Sequence[Lora] = (),
    stated: Mapping[str, object] = MappingProxyType({}),
    advance: Callable[[int, int], None] = lambda _done, _total: None,
    keep: Callable[[int, Image], None] = lambda _number, _picture: None,
    **options: Unpack[GenerationOptions],
) -> list[Image]:
    """Draw one picture per prompt; picture i depends on `prompts[i]` and `seeds[i]` only.

    `placeholders.split` finds the tokens in a prompt.

    The settings are in each picture's `info`, and are saved with it in a PNG; `stated` is what else
    is to stand there. `advance` gets how many denoising steps of how many are done, where a step of
    two pictures counts as two. `keep` gets each picture and its number as soon as it is drawn.

    Raises:
        ConceptError: a concept does not fit the model, or two have the same token.
        PromptError: a placeholder would be cut off, or a weight is too large.
        SettingsError: as in `check`, or the model reads no negative prompt.
        BaseModelError: a LoRA does not fit.
    """
    settings, emphasis = check(family, negative, **options), _emphasis(family, options)
    words = _words(family, concepts)
    pictures: dict[int, Image] = {}
    done, total = 0, len(prompts) * settings.sampler_steps

    def on_step(pictures: int) -> None:
        nonlocal done
        done = min(done + pictures, total)
        advance(done, total)

    with family.with_loras(loras):
        for part in _passes(family, prompts, negative, words, emphasis, settings):
            generators = [Generator().manual_seed(seeds[i]) for i in part.pictures]
            step = partial(on_step, len(part.pictures))
            drawn = family.draw(part.prompts, part.negatives, words, generators, settings, step)
            for i, picture in zip(part.pictures, drawn, strict=True):
                values = _infotext_values(family, settings, seeds[i], loras) | dict(stated)
                if emphasis != "original" and any(map(has_signs, (prompts[i], negative))):
                    values["Emphasis"] = EMPHASES[emphasis]
                texts = (as_written(prompts[i]), as_written(negative))
                picture.info[KEYWORD] = infotext(*texts, values)
                pictures[i] = picture
                keep(i, picture)
    return [pictures[i] for i in range(len(prompts))]


@no_grad()
def encode(
    family: Family,
    prompts: Sequence[str],
    concepts: Sequence[Concept],
    *,
    negative: str = "",
    **options: Unpack[GenerationOptions],
) -> None:
    """Encode what `generate` would, so that encoders which keep what they give know it."""
    settings, words = check(family, **options), _words(family, concepts)
    for part in _passes(family, prompts, negative, words, _emphasis(family, options), settings):
        family.encode_text(part.prompts, words)
        if family.reads_negative and settings.guidance > 1:
            family.encode_negative(part.negatives, words)


def _words(family: Family, concepts: Sequence[Concept]) -> Words:
    """The rows of each concept, on the model's device, after checks that they can be used."""
    for concept in concepts:
        check_compatible(concept, family)
    for token, times in Counter(c.token for c in concepts).items():
        if times > 1:
            raise ConceptError(f"{times} concepts are called {token}; each needs its own token")
    return {c.token: {k: v.to(family.device) for k, v in c.vectors.items()} for c in concepts}


def _emphasis(family: Family, options: GenerationOptions) -> Emphasis:
    """How weights in prompts are applied."""
    if not family.reads_weights:
        return "none"
    return options.get("emphasis") or family.defaults.emphasis


def check(
    family: Family, negative: str = "", **options: Unpack[GenerationOptions]
) -> GenerationSettings:
    """Check settings of `generate` without drawing, and fill in the defaults.

    It takes milliseconds, so settings can be checked before long work.

    Raises:
        SettingsError: the model cannot draw this size, the scheduler is unknown or cannot take so
            many steps, or the model cannot rescale guidance, or reads no negative prompt.
    """
    guidance, rescale = options.get("guidance"), options.get("guidance_rescale")
    steps = options.get("sampler_steps")
    width, height = picture_size(
        options.get("resolution"),
        options.get("width"),
        options.get("height"),
        own=family.resolution,
        multiple_of=family.resolution_step,
        model=family.source.name,
    )
    settings = GenerationSettings(
        family.defaults.guidance if guidance is None else guidance,
        family.defaults.guidance_rescale if rescale is None else rescale,
        family.defaults.sampler_steps if steps is None else steps,
        width,
        height,
        options.get("scheduler"),
    )
    family.check(settings)
    if negative and not family.reads_negative:
        raise SettingsError(
            f"--negative has no effect with {family.source.name}, which is not guided away from "
            "anything. Leave it out."
        )
    if negative and settings.guidance <= 1 and guidance is None:
        raise SettingsError(
            f"--negative has no effect with {family.source.name}, which is drawn without guidance "
            "by default. Leave it out, or give a --guidance above 1."
        )
    return settings


@dataclass(frozen=True)
class _Pass:
    """What is drawn by one call of the pipeline."""

    pictures: Sequence[int]
    """which of all"""
    prompts: Prompts
    negatives: Prompts


def _passes(
    family: Family,
    prompts: Sequence[str],
    negative: str,
    words: Words,
    emphasis: Emphasis,
    settings: GenerationSettings,
) -> Iterator[_Pass]:
    """Prompts that are drawn at once: of one length, so that a picture depends on its own only."""
    if not settings.guidance > 1:
        negative = ""  # it is not read, however long
    at_once = PIXELS_PER_PASS // (settings.width * settings.height)
    at_once = min(max(at_once, PICTURES_PER_PASS), MOST_PER_PASS)
    if not family.reads_weights:
        for some in _groups(range(len(prompts)), at_once):
            yield _Pass(some, [prompts[i] for i in some], [negative] * len(some))
        return
    understand = plain if emphasis == "none" else parse
    own, against = [understand(prompt, words) for prompt in prompts], understand(negative, words)
    restore_mean = emphasis == "original"
    readers = [(e.reader, row_counts(words, key)) for key, e in family.encoders.items()]
    chunks = [
        max(
            count_chunks(one, text, counts) for text in (prompt, against) for one, counts in readers
        )
        for prompt in own
    ]
    for n in dict.fromkeys(chunks):
        for some in _groups([i for i, each in enumerate(chunks) if each == n], at_once):
            yield _Pass(
                some,
                ChunkedPrompts([own[i] for i in some], n, restore_mean),
                ChunkedPrompts([against] * len(some), n, restore_mean),
            )


def _groups(pictures: Sequence[int], at_once: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(pictures), at_once):
        yield pictures[first : first + at_once]


def _infotext_values(
    family: Family, settings: GenerationSettings, seed: int, loras: Sequence[Lora]
) -> dict[str, object]:
    scheduler = family.scheduler(settings.scheduler)
    karras = scheduler.config.get("use_karras_sigmas")
    values: dict[str, object] = {
        "Steps": settings.sampler_steps,
        "Sampler": sampler_name(type(scheduler).__name__),
        **({SCHEDULE: KARRAS} if karras else {}),
        "CFG scale": settings.guidance,
        "Seed": seed,
        "Size": f"{settings.width}x{settings.height}",
        "Model": public(family.source.name),
    }
    if family.source.clip_skip > 1:
        values["Clip skip"] = family.source.clip_skip
    if settings.guidance_rescale:
        values["CFG Rescale"] = settings.guidance_rescale
    if loras:
        values["Lora"] = ", ".join(f"{visible(path.stem)}: {weight:g}" for path, weight in loras)
    return values
