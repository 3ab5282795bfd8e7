"""Look before training: what the model will see of each picture, and what to set."""

from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image
from pydantic import BaseModel, ConfigDict, Field

from pseudoword.config.prepare import PrepareConfig
from pseudoword.data import (
    captioning,
    captions,
    examples,
    image_quality,
    picture_files,
    prompt_checks,
)
from pseudoword.errors import PromptError
from pseudoword.models import base_model
from pseudoword.models.injection import Reader
from pseudoword.outputs import check_not_input, maker_of
from pseudoword.progress import Progress
from pseudoword.report import contact_sheet, picture_output
from pseudoword.training import suggestions

SHEET = Path("contact-sheet.png")


class PreparedPicture(BaseModel):
    """One picture as it will be seen."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    file: str
    size: tuple[int, int]
    """(width, height) of the upright picture in pixels"""
    frame: tuple[int, int]
    """(width, height) of what is seen of it"""
    views: int
    """crops and mirror images"""
    masked: bool
    caption: str
    """its own, which stands for [filewords]"""
    prompt: str
    """one of the sentences it is learned with"""
    problems: list[str]
    shown: list[Image] = Field(default=[], exclude=True, repr=False)
    """the picture with its crops framed, then the crops, striped where they do not count; small,
    and of no more pictures than the contact sheet has"""


class Prepared(BaseModel):
    """What training would see, and what is suggested."""

    pictures: list[PreparedPicture]
    skipped: list[str]
    """pictures that cannot be used, and why"""
    notes: list[str]
    """what else was left out, or is not as it may seem"""
    shared_problem: str | None
    """what is wrong with all pictures together"""
    vectors: int
    """suggested `--vectors`"""
    steps: int
    """suggested `--steps`, at the default `--batch`"""
    sheet: str
    """the contact sheet"""


def prepare_pictures(
    config: PrepareConfig,
    out: Path | None,
    caption_model: str | None,
    progress: Progress,
    overwrite: bool = False,
) -> Prepared:
    """Read the pictures as `train` would and draw a contact sheet; the public `prepare`."""
    for idle in config.without_effect():
        progress.note(idle)
    maker = maker_of("prepare", *config.pictures)
    if out is None:
        out = SHEET if overwrite else picture_output.next_path(SHEET, maker)
    check_not_input(out.parent, config.pictures)
    picture_output.check(out, maker, overwrite=overwrite)
    templates = captions.templates(config.template)
    for idle in captions.without_effect(config, templates):
        progress.note(idle)
    base = base_model.Unloaded(config)
    shapes = examples.crop_sizes(config, *base.resolution)
    skipped: list[str] = []
    notes: list[str] = []

    def note(text: str) -> None:
        (skipped if text.startswith("skipped: ") else notes).append(text)
        progress.note(text)

    paths = picture_files.find(config.pictures, note)
    if caption_model:
        captioning.write_captions(paths, caption_model, progress)
    captions.note_unused(paths, templates, note)
    progress.phase(f"reading {len(paths)} pictures")
    readers, n = base.readers, suggestions.vectors(len(paths))
    find_problems = image_quality.ProblemFinder()
    looks: list[PreparedPicture] = []
    cards: list[Image] = []
    for example in examples.read(paths, config, shapes, seed=config.seed, note=note):
        template = templates[len(looks) % len(templates)]
        words = captions.augment(example.filewords, config, seed=len(looks))
        found = PreparedPicture(
            file=str(example.path),
            size=example.size,
            frame=example.views[0].crop.size,
            views=len(example.views),
            masked=example.views[0].mask is not None,
            caption=example.filewords,
            prompt=captions.render(template, "[name]", words),
            problems=[
                *find_problems(example),
                *_cut(readers, example.filewords, templates, config, n),
            ],
        )
        looks.append(found)
        if contact_sheet.has_room(cards):
            found.shown.extend(contact_sheet.tiles(example))
            cards.append(contact_sheet.panel(example, found.prompt, found.problems))
        progress.advance(len(looks), len(paths))
    vectors, steps = suggestions.vectors(len(looks)), suggestions.steps(len(looks))
    prompt_checks.note_weights([*templates, *(look.caption for look in looks)], note)
    title = f"{len(looks)} pictures. To begin with: --vectors {vectors} --steps {steps}"
    if len(cards) < len(looks):
        note(f"{out} shows the first {len(cards)} of {len(looks)} pictures")
    picture_output.write(contact_sheet.arrange(cards, title), out, maker, overwrite=overwrite)
    return Prepared(
        pictures=looks,
        skipped=skipped,
        notes=notes,
        shared_problem=find_problems.shared_problem(),
        vectors=vectors,
        steps=steps,
        sheet=str(out),
    )


def _cut(
    readers: Sequence[Reader],
    caption: str,
    templates: Sequence[str],
    config: PrepareConfig,
    vectors: int,
) -> list[str]:
    """What of a caption will not be read."""
    try:
        reading = prompt_checks.check_caption(
            readers, caption, templates, vectors, shuffled=config.shuffle_tags
        )
    except PromptError as error:
        return [str(error)]
    cut = reading is not None and (
        f"has too long a caption: the prompt has {reading.tokens} tokens, but only "
        f"{reading.room} are read"
    )
    return [cut] if cut else []
