"""Previews: pictures that a word draws during training, in the same way as `generate`."""

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
"""Size of a picture on the filmstrip, and how many columns it has at most."""


def check(family: Family, config: TrainConfig) -> None:
    """Check before long work that all previews can be drawn.

    Raises:
        SettingsError: the model cannot draw a size, it does not fit in memory, or a scheduler is
            not known or does not work with the number of steps.
    """
    for line in config.preview:
        try:
            settings = generation.check(family, **_options(line, config))
        except SettingsError as error:
            raise SettingsError(f"--preview {line.text!r}: {error}") from error
        memory.check_drawing(family, config, (settings.width, settings.height))


def check_prompts(
    family: Family, config: TrainConfig, vectors: int, note: Callable[[str], None]
) -> None:
    """Check the previews' prompts with a word of so many vectors, as `generate` checks its own.

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
            prompt_checks.check_prompts(family, prompts, {config.token: vectors}, note)
        except PromptError as error:
            raise PromptError(f"--preview {line.text!r}: {error}") from error


def draw(
    family: Family,
    concept: Concept,
    config: TrainConfig,
    folder: RunFolder,
    step: int,
    progress: Progress,
) -> list[Image.Image]:
    """Draw all previews of `concept` at `step` into `folder`, and update the filmstrip."""
    if not config.preview:
        return []
    progress.phase(f"drawing previews of {concept.token} at step {step}")
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
                **_options(line, config),
            )
            folder.files.write(_name(step, i), _png(picture, concept, config))
            drawn.append(picture)
            progress.advance(i, len(config.preview), f"{time.perf_counter() - began:.0f} s")
    finally:
        family.release_vae()
    folder.files.write(
        FILMSTRIP, picture_output.encode_picture(_filmstrip(config, folder.previews, step), "PNG")
    )
    return drawn


def _options(line: PromptLine, config: TrainConfig) -> generation.GenerationOptions:
    """The generation options of a preview; a line with only one side asks for a square."""
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
    """At most `MAX_COLUMNS` of the steps: the first, the last, and some between them."""
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
