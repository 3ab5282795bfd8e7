"""What a word draws on its way, through `generate` itself: what is previewed is what one gets."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.prompt_lines import PromptLine
from pseudoword.data import captions, images, prompt_checks
from pseudoword.errors import PictureError, PromptError, SettingsError
from pseudoword.formats import WRITERS
from pseudoword.models import generation
from pseudoword.models.family import Family
from pseudoword.placeholders import delimited
from pseudoword.progress import Progress
from pseudoword.report import grids, picture_output
from pseudoword.runs.folder import FILMSTRIP, PREVIEWS, RunFolder
from pseudoword.training import memory

CELL_PX, MAX_COLUMNS = 160, 48
"""Of the filmstrip."""


def check(family: Family, config: TrainConfig) -> None:
    """Find out before long work whether all previews can be drawn.

    Raises:
        SettingsError: a size is none that the model can draw or the memory can hold, or a scheduler
            is not known or does not work with so many steps.
    """
    for line in config.preview:
        try:
            settings = generation.check(family, **_asked(line, config))
        except SettingsError as error:
            raise SettingsError(f"--preview {line.text!r}: {error}") from error
        memory.check_drawing(family, config, (settings.width, settings.height))


def note_truncation(
    family: Family, config: TrainConfig, vectors: int, note: Callable[[str], None]
) -> None:
    """Say what of the previews' prompts will not be read, for a word of so many vectors.

    Raises:
        PromptError: the word would be cut off.
    """
    for line in config.preview:
        asked = {"--preview": line.prompt, "the negative prompt of --preview": line.negative}
        shown = [captions.render(text, delimited(config.token)) for text in asked.values()]
        for called, text in zip(asked, shown, strict=True):
            try:
                reading = prompt_checks.most_truncated(
                    family.encoders.values(), text, {config.token: vectors}
                )
            except PromptError as error:
                raise PromptError(f"--preview {line.text!r}: {error}") from error
            prompt_checks.note_truncation(f"{called} {line.text!r}", reading, note)
        prompt_checks.note_weights(shown, note, [config.token])


def draw(
    family: Family,
    concept: Concept,
    config: TrainConfig,
    folder: RunFolder,
    step: int,
    told: Progress,
) -> list[Image.Image]:
    """Draw all previews of `concept` into `folder`, and what each has looked like until `step`."""
    if not config.preview:
        return []
    told.phase(f"drawing previews of {concept.token} at step {step}")
    began = time.perf_counter()
    drawn = []
    try:
        for i, line in enumerate(config.preview, 1):
            (picture,) = generation.generate(
                family,
                [captions.render(line.prompt, delimited(concept.token))],
                [concept],
                seeds=[config.seed if line.seed is None else line.seed],
                negative=captions.render(line.negative, delimited(concept.token)),
                **_asked(line, config),
            )
            folder.files.write(_name(step, i), _png(picture, concept, config))
            drawn.append(picture)
            told.advance(i, len(config.preview), f"{time.perf_counter() - began:.0f} s")
    finally:
        family.release_vae()
    folder.files.write(
        FILMSTRIP, picture_output.encode_picture(_filmstrip(config, folder.previews, step), "PNG")
    )
    return drawn


def _asked(line: PromptLine, config: TrainConfig) -> generation.GenerationOptions:
    """What a line asks of a drawing; a side given alone makes a square."""
    return {
        "guidance": line.guidance,
        "sampler_steps": line.sampler_steps,
        "resolution": config.resolution,
        "width": line.width or line.height,
        "height": line.height or line.width,
        "scheduler": line.scheduler,
    }


def _name(step: int, number: int) -> str:
    return f"{PREVIEWS}/step-{step}-{number}.png"


def _png(picture: Image.Image, concept: Concept, config: TrainConfig) -> bytes:
    writer = WRITERS["a1111-png"]
    if config.embedding_in_preview and not writer.refuses(concept):
        return writer.write(concept, picture)[""]
    return picture_output.encode_picture(picture, "PNG")


def _filmstrip(config: TrainConfig, folder: Path, until: int) -> Image.Image:
    """`filmstrip.png`: a row for each prompt, a column for each step it was drawn at."""
    steps = sorted(
        {
            int(found[1])
            for path in folder.glob("step-*-*.png")
            if (found := re.fullmatch(r"step-(\d+)-\d+\.png", path.name))
        }
    )
    steps = _spread_evenly([step for step in steps if step <= until])
    rows = []
    for i, line in enumerate(config.preview, 1):
        paths = [folder / f"step-{step}-{i}.png" for step in steps]
        shown = [grids.in_square(_open(path), CELL_PX) for path in paths]
        rows.append((line.prompt, shown))
    return grids.grid(rows, heads=[f"step {step}" for step in steps], cell_px=CELL_PX)


def _spread_evenly(steps: Sequence[int]) -> list[int]:
    """At most so many of `steps` as a filmstrip shows: the first, the last, and some between."""
    if len(steps) <= MAX_COLUMNS:
        return list(steps)
    last = len(steps) - 1
    return [steps[round(i * last / (MAX_COLUMNS - 1))] for i in range(MAX_COLUMNS)]


def _open(path: Path) -> Image.Image:
    """A picture in the size of a filmstrip's cell, since there may be many."""
    try:
        return images.open_picture(path, needed_px=CELL_PX)
    except PictureError:  # taken away by someone, or drawn for other prompts
        return Image.new("RGB", (1, 1), "white")
