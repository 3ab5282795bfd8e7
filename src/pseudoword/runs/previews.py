"""Previews: pictures that a word draws during training, in the same way as `generate`."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.prompt_lines import PromptLine
from pseudoword.data import captions, images, prompt_checks
from pseudoword.errors import PictureError, PromptError, PseudowordError, SettingsError
from pseudoword.formats import WRITERS
from pseudoword.models import generation
from pseudoword.models.family import Family
from pseudoword.placeholders import delimited, named
from pseudoword.progress import Progress
from pseudoword.report import grids, picture_output
from pseudoword.runs.folder import FILMSTRIP, PREVIEWS, RunFolder
from pseudoword.text import listed
from pseudoword.training import encoded_prompts, memory, other_words

CELL_PX, MAX_COLUMNS = 160, 48
"""Size of a picture on the filmstrip, and how many columns it has at most."""


def check(family: Family, config: TrainConfig) -> None:
    """Check before long work that all previews can be drawn.

    Raises:
        SettingsError: the model cannot draw a size, it does not fit in memory, a scheduler is not
            known or does not work with the number of steps, or a negative prompt has no effect.
    """
    for line in config.preview:
        try:
            settings = generation.check(family, line.negative, **_options(line, config))
        except SettingsError as error:
            raise SettingsError(f"--preview {line.text!r}: {error}") from error
        memory.check_drawing(family, config, (settings.width, settings.height))


def check_prompts(
    family: Family,
    config: TrainConfig,
    vectors: Mapping[str, int],
    note: Callable[[str], None],
) -> None:
    """Check the previews' prompts with words of so many vectors, as `generate` checks its own.

    Raises:
        PromptError: the word itself would be cut off, or a weight is too large.
    """
    for line in config.preview:
        texts = {"--preview": line.prompt, "the negative prompt of --preview": line.negative}
        prompts = {
            f"{name} {line.text!r}": captions.render(text, delimited(config.token))
            for name, text in texts.items()
        }
        try:
            prompt_checks.check_prompts(family, prompts, vectors, note)
        except PromptError as error:
            raise PromptError(f"--preview {line.text!r}: {error}") from error


@dataclass(frozen=True)
class Due:
    """A word whose previews are due."""

    concept: Concept
    config: TrainConfig
    folder: RunFolder
    step: int
    others: Sequence[Concept] = ()
    """other words that its prompts may have in them, also those that are learned with it"""


@dataclass
class Drawn:
    """Previews of a word, in the order of its settings."""

    pictures: dict[int, Image.Image] = field(default_factory=dict)
    """number of the preview, from 1 -> picture"""
    error: Exception | None = None
    """why one is missing, if it is"""


def draw(family: Family, words: Sequence[Due], progress: Progress) -> list[Drawn]:
    """Draw all previews of several words, those that are drawn in the same way together.

    An error belongs to the words that have it when they are drawn alone.
    """
    drawn = [Drawn() for _ in words]
    groups = _drawn_alike(words)
    if not groups:
        return drawn
    steps = " and ".join(str(step) for step in sorted({due.step for due in words}))
    called = listed(due.config.called for due in words)
    progress.phase(f"drawing previews of {called} at step {steps}")
    done, total = 0, sum(map(len, groups))

    def on_step(step: int, steps: int) -> None:
        progress.advance(done, total, f"{100 * step // steps} % of the next")

    try:
        for group in groups:
            if not _draw_alike(family, words, group, drawn, on_step) and len(group) > 1:
                for one in group:
                    _draw_alike(family, words, [one], drawn, on_step)
            done += len(group)
            progress.advance(done, total)
    finally:
        family.release_vae()
        encoded_prompts.release(family)
    return drawn


def encode(family: Family, words: Sequence[Due]) -> None:
    """Encode the prompts of all previews, so that encoders which keep what they give know them.

    An error is left to the drawing, which says whose it is.
    """
    for group in _drawn_alike(words):
        arguments = _arguments(words, group)
        arguments.pop("seeds")
        with suppress(PseudowordError):
            generation.encode(family, **arguments)


_Number = tuple[int, int]
"""The index of a word, and the number of one of its previews."""


def _drawn_alike(words: Sequence[Due]) -> list[list[_Number]]:
    """The previews of all words, in groups for one call of `generate`.

    A call has one negative prompt, and finds each token wherever it stands. So words of one token,
    and previews that name another word of the group, are not together; nor are those with other
    words beside them.
    """
    groups: dict[object, list[_Number]] = {}
    tokens = [due.concept.token for due in words]
    for k, due in enumerate(words):
        for number, line in enumerate(due.config.preview, 1):
            texts = [_rendered(text, due) for text in (line.prompt, line.negative)]
            names_others = bool({*named(texts, tokens)} - {due.concept.token})
            same_name = tokens[:k].count(due.concept.token)
            beside = tuple((other.token, other_words.mark(other)) for other in due.others)
            alike = (same_name, k if names_others else None, texts[1], beside)
            options = tuple(_options(line, due.config).items())
            groups.setdefault((alike, options), []).append((k, number))
    return list(groups.values())


def _draw_alike(
    family: Family,
    words: Sequence[Due],
    group: Sequence[_Number],
    drawn: Sequence[Drawn],
    on_step: Callable[[int, int], None],
) -> bool:
    """Draw previews that differ in their words, prompts and seeds only; note the error of one.

    `on_step` is called with how many denoising steps are done, and of how many.

    Returns:
        Whether they are drawn. If not, the memory of that is free again.
    """
    try:
        pictures = generation.generate(family, **_arguments(words, group), advance=on_step)
    except Exception as error:  # of memory, of one word
        if len(group) == 1:
            drawn[group[0][0]].error = error.with_traceback(None)  # which holds that memory
        return False
    for (k, number), picture in zip(group, pictures, strict=True):
        drawn[k].pictures[number] = picture
    return True


def _arguments(words: Sequence[Due], group: Sequence[_Number]) -> dict[str, Any]:
    """What `generate` is given for previews that are drawn in the same way."""
    asked = [(words[k], words[k].config.preview[number - 1]) for k, number in group]
    first, line = asked[0]
    return {
        "prompts": [_rendered(line.prompt, due) for due, line in asked],
        "concepts": [
            *(words[k].concept for k in dict.fromkeys(k for k, _ in group)),
            *first.others,
        ],
        "seeds": [due.config.seed if line.seed is None else line.seed for due, line in asked],
        "negative": _rendered(line.negative, first),
        **_options(line, first.config),
    }


def write(due: Due, pictures: Mapping[int, Image.Image]) -> None:
    """Write previews of a word into the folder of its run, and update the filmstrip."""
    for number, picture in pictures.items():
        name = f"{PREVIEWS}/step-{due.step}-{number}.png"
        due.folder.files.write(name, _png(picture, due.concept, due.config))
    if pictures:
        strip = _filmstrip(due.config, due.folder.previews, due.step)
        due.folder.files.write(FILMSTRIP, picture_output.encode_picture(strip, "PNG"))


def _rendered(text: str, due: Due) -> str:
    return captions.render(text, delimited(due.concept.token))


def _options(line: PromptLine, config: TrainConfig) -> generation.GenerationOptions:
    """The generation options of a preview."""
    return {
        "guidance": line.guidance,
        "sampler_steps": line.sampler_steps,
        "resolution": config.resolution,
        "width": line.width,
        "height": line.height,
        "scheduler": line.scheduler,
    }


def _png(picture: Image.Image, concept: Concept, config: TrainConfig) -> bytes:
    writer = WRITERS["a1111-png"]
    if config.embedding_in_preview and not writer.refuses(concept):
        return writer.write(concept, picture)[""]
    return picture_output.encode_picture(picture, "PNG")


def _filmstrip(config: TrainConfig, folder: Path, until: int) -> Image.Image:
    """`filmstrip.png`: a row for each prompt, a column for each step."""
    steps = sorted(
        {
            int(match[1])
            for path in folder.glob("step-*-*.png")
            if (match := re.fullmatch(r"step-(\d+)-\d+\.png", path.name))
        }
    )
    steps = _spread_evenly([step for step in steps if step <= until])
    rows = []
    for i, line in enumerate(config.preview, 1):
        paths = [folder / f"step-{step}-{i}.png" for step in steps]
        rows.append((line.prompt, [grids.in_square(_open(path), CELL_PX) for path in paths]))
    return grids.grid(rows, heads=[f"step {step}" for step in steps], cell_px=CELL_PX)


def _spread_evenly(steps: Sequence[int]) -> list[int]:
    """The first of the steps, the last, and some between them: at most `MAX_COLUMNS`."""
    if len(steps) <= MAX_COLUMNS:
        return list(steps)
    last = len(steps) - 1
    return [steps[round(i * last / (MAX_COLUMNS - 1))] for i in range(MAX_COLUMNS)]


def _open(path: Path) -> Image.Image:
    """A preview, reduced to save memory; white if it is missing."""
    try:
        return images.open_picture(path, needed_px=CELL_PX)
    except PictureError:  # someone deleted it, or there were other prompts then
        return Image.new("RGB", (1, 1), "white")
