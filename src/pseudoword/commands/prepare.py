"""`prepare`: show what the model will see of each picture, and suggest settings."""

from collections.abc import Callable, Mapping, Sequence
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
from pseudoword.data.examples import Example
from pseudoword.errors import PromptError
from pseudoword.formats import sources
from pseudoword.models import base_model
from pseudoword.models.reading.prompt_reader import PromptReader
from pseudoword.outputs import check_not_input, maker_of
from pseudoword.progress import Progress
from pseudoword.report import contact_sheet, picture_output
from pseudoword.text import counted
from pseudoword.training import other_words, suggestions

SHEET = Path("contact-sheet.png")


class PreparedPicture(BaseModel):
    """One picture as the model will see it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    file: str
    size: tuple[int, int]
    """(width, height) of the upright picture in pixels"""
    frame: tuple[int, int]
    """(width, height) of its crops"""
    views: int
    """crops and mirror images"""
    masked: bool
    caption: str
    """its own caption, for [filewords]"""
    prompt: str
    """one of the prompts it is trained with"""
    problems: list[str]
    shown: list[Image] = Field(default=[], exclude=True, repr=False)
    """small copies: the picture with its crops outlined, then the crops, with stripes where the
    mask leaves them out; only of the pictures on the contact sheet"""


class Prepared(BaseModel):
    """What the model would see in training, and suggested settings."""

    pictures: list[PreparedPicture]
    skipped: list[str]
    """pictures that cannot be used, with the reason"""
    notes: list[str]
    """other files that are not used, and settings without effect"""
    shared_problem: str | None
    """a problem that all pictures share"""
    vectors: int
    """suggested `--vectors`"""
    steps: int
    """suggested `--steps`, at the default `--batch`"""
    sheet: str
    """the contact sheet"""


def prepare_pictures(
    config: PrepareConfig,
    out: Path | None,
    caption_model: str | Path | None,
    progress: Progress,
    *,
    overwrite: bool,
) -> Prepared:
    """Read the pictures as `train` would and draw a contact sheet; the public `prepare`."""
    for sentence in config.without_effect():
        progress.note(sentence)
    maker = maker_of("prepare", (out or SHEET).parent, *config.pictures)
    out = _check_output(out, maker, config, overwrite)
    templates = captions.templates(config.template)
    for sentence in captions.without_effect(config, templates):
        progress.note(sentence)
    others = other_words.counts(sources.read_concepts(config.words, flag="--words"))
    base = base_model.Unloaded(config)
    sizes = examples.crop_sizes(config, *base.resolution)
    skipped: list[str] = []
    notes: list[str] = []

    def note(text: str) -> None:
        (skipped if text.startswith("skipped: ") else notes).append(text)
        progress.note(text)

    paths = picture_files.find(config.pictures, note)
    picture_files.note_repeats(config.pictures, paths, note)
    if caption_model:
        captioning.write_captions(paths, caption_model, progress)
    captions.note_unused(paths, templates, config, note)
    captions.note_file_names(paths, templates, note)
    progress.phase(f"reading {counted(len(paths), 'picture')}")
    check = _PictureCheck(config, base.readers, templates, suggestions.vectors(len(paths)), others)
    prepared: list[PreparedPicture] = []
    panels: list[Image] = []
    for example in examples.read(paths, config, sizes, seed=config.seed, note=note):
        picture = check(example, len(prepared))
        prepared.append(picture)
        if contact_sheet.has_room(panels):
            picture.shown.extend(contact_sheet.tiles(example))
            panel = contact_sheet.panel(example, picture.shown, picture.prompt, picture.problems)
            panels.append(panel)
        progress.advance(len(prepared), len(paths))
    _note_without_word(prepared, note)
    texts = [*templates, *(picture.caption for picture in prepared)]
    prompt_checks.note_weights(texts, note, others)
    if len(panels) < len(prepared):
        note(f"{out} shows the first {len(panels)} of {len(prepared)} pictures")
    vectors, steps = suggestions.vectors(len(prepared)), suggestions.steps(len(prepared))
    title = f"{counted(len(prepared), 'picture')}. Suggested: --vectors {vectors} --steps {steps}"
    picture_output.write(contact_sheet.arrange(panels, title), out, maker, overwrite=overwrite)
    return Prepared(
        pictures=prepared,
        skipped=skipped,
        notes=notes,
        shared_problem=check.find_problems.shared_problem(),
        vectors=vectors,
        steps=steps,
        sheet=str(out),
    )


def _note_without_word(prepared: Sequence[PreparedPicture], note: Callable[[str], None]) -> None:
    """Report prompts that the word is not in, unless it is there by its own name."""
    without = [one for one in prepared if "[name]" not in one.prompt]
    if without:
        note(
            f"{len(without)} of {len(prepared)} prompts have no [name] in them, such as the one of "
            f"{Path(without[0].file).name}. To train with them, each needs it, or a new word itself"
        )


def _check_output(out: Path | None, maker: str, config: PrepareConfig, overwrite: bool) -> Path:
    """The file of the contact sheet. Checks before any work that it can be written."""
    if out is None:
        out = SHEET if overwrite else picture_output.next_path(SHEET, maker)
    check_not_input(out.parent, config.pictures)
    picture_output.check(out, maker, overwrite=overwrite)
    return out


class _PictureCheck:
    """Looks at one picture after the other, as `train` would see it."""

    def __init__(
        self,
        config: PrepareConfig,
        readers: Sequence[PromptReader],
        templates: Sequence[str],
        vectors: int,
        others: Mapping[str, int],
    ) -> None:
        self.find_problems = image_quality.ProblemFinder()
        self._config, self._readers = config, readers
        self._templates, self._vectors, self._others = templates, vectors, others

    def __call__(self, example: Example, number: int) -> PreparedPicture:
        view = example.views[0]
        template = self._templates[number % len(self._templates)]
        filewords = captions.augment(example.filewords, self._config, seed=number)
        return PreparedPicture(
            file=str(example.path),
            size=example.size,
            frame=view.crop.size,
            views=len(example.views),
            masked=view.mask is not None,
            caption="\n".join(captions.variants(example.filewords, self._config)),
            prompt=captions.render(template, "[name]", filewords),
            problems=[*self.find_problems(example), *self._caption_problems(example.filewords)],
        )

    def _caption_problems(self, filewords: str) -> list[str]:
        """Whether a part of the caption will not be read."""
        each = map(self._problem_of, captions.variants(filewords, self._config))
        return [told for told in each if told][:1]

    def _problem_of(self, caption: str) -> str:
        try:
            reading = prompt_checks.check_caption(
                self._readers,
                caption,
                self._templates,
                self._vectors,
                prompt_checks.PLACEHOLDER,
                self._config.shuffle_tags,
                self._others,
            )
        except PromptError as error:
            return str(error)
        if reading is None:
            return ""
        return (
            f"has too long a caption: the prompt has {reading.tokens} tokens, but only "
            f"{reading.max_tokens} are read"
        )
