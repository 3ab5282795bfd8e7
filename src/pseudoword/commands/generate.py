"""`generate`: draw a prompt that may hold new words, and write the pictures."""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from PIL.Image import Image

from pseudoword.concept import Concept
from pseudoword.config import GenerateConfig
from pseudoword.config.fields import check_text
from pseudoword.data import prompt_checks
from pseudoword.errors import StorageError
from pseudoword.formats import sources
from pseudoword.formats.sources import NamedConcept
from pseudoword.models import base_model, generation, lora, toward
from pseudoword.models.compatibility import check_compatible, remarks
from pseudoword.models.family import Family
from pseudoword.outputs import next_free
from pseudoword.placeholders import named as named_in
from pseudoword.placeholders import undelimited
from pseudoword.progress import Progress
from pseudoword.report import grids, picture_output
from pseudoword.text import command
from pseudoword.training import initialisation, memory

Concepts = str | Path | Concept | Sequence[str | Path | Concept]
"""One or several concepts: files, folders, hub ids, or concepts in memory."""

DEFAULT_OUT = Path("picture.png")
MAKER = "generate"


def draw_pictures(
    prompt: str,
    config: GenerateConfig,
    concept: Concepts,
    token: str | Sequence[str | None] | None,
    progress: Progress,
    family: Family | None,
    keep: Callable[[int, Image], None] = lambda _number, _picture: None,
) -> list[Image]:
    """Draw `prompt`; the public `generate`.

    `family` is the loaded base model (`load_base`); `keep` is as in `generation.generate`.
    """
    _check_texts(prompt, config, progress)
    named = sources.read_named(concept, token)
    if config.toward:
        for each in named:
            toward.words_behind(each.concept, config.toward_word)
    loras = [lora.parse(text) for text in config.lora]
    prompts = {
        "the prompt": undelimited(prompt),
        "the negative prompt": undelimited(config.negative),
    }
    _note_unused_concepts(named, prompts.values(), progress)
    if config.toward and not named:
        progress.note(f"--toward {config.toward} has no effect without a new word: give --concept")
    if config.rows and not any(each.concept.length > config.rows for each in named):
        progress.note(f"--rows {config.rows} has no effect: no new word here has more vectors")
    if family is None:
        family = load_base(config, progress)
    options = _options(config)
    _check_memory(family, config, options, progress)
    for each in named:
        check_compatible(each.concept, family)
        for said in remarks(each.concept, family):
            progress.note(said)
    concepts = [_as_drawn(each.concept, family, config) for each in named]
    counts = {each.token: each.length for each in concepts}
    prompt_checks.check_prompts(family, prompts, counts, progress.note, emphasis=config.emphasis)
    progress.phase("drawing")
    return generation.generate(
        family,
        [prompts["the prompt"]] * config.n,
        concepts,
        seeds=[config.seed + i for i in range(config.n)],
        negative=prompts["the negative prompt"],
        **options,
        loras=loras,
        stated=_stated(config),
        advance=progress.advance,
        keep=keep,
    )


def _check_texts(prompt: str, config: GenerateConfig, progress: Progress) -> None:
    """Check that the texts can be written to a file; report an empty prompt, and settings without
    effect."""
    check_text("the prompt", prompt)
    if not prompt.strip():
        progress.note("the prompt is empty, so the model draws anything that it knows")
    if config.toward_word is not None:
        check_text("--toward-word", config.toward_word)
    for sentence in config.without_effect():
        progress.note(sentence)


def _as_drawn(concept: Concept, family: Family, config: GenerateConfig) -> Concept:
    """The word, turned and shortened as the settings ask for."""
    turned = initialisation.turn(family, concept, config.toward, config.toward_word)
    return turned.first_rows(config.rows)


def _stated(config: GenerateConfig) -> dict[str, object]:
    """What a picture says of changed words, so that it can be drawn again."""
    stated: dict[str, object] = {} if config.rows is None else {"Rows": config.rows}
    if config.toward:
        stated["Toward"] = config.toward
        if config.toward_word is not None:
            stated["Toward word"] = config.toward_word
    return stated


def load_base(config: GenerateConfig, progress: Progress) -> Family:
    """Load the base model that `config` names.

    Raises:
        PseudowordError: it cannot be loaded.
    """
    progress.phase(f"loading {config.base}")
    return base_model.load(config, progress.note, offload=config.offload)


def draw_files(
    prompt: str,
    config: GenerateConfig,
    concept: Concepts,
    out: Path | None,
    progress: Progress,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Draw `prompt` and write each picture when it is drawn: what the command `generate` does.

    Args:
        prompt: the text.
        config: the settings.
        concept: one or several.
        out: the file to write; by default `picture.png`, or `picture-2.png` and so on. Several
            pictures go into numbered files beside it, and a contact sheet of them into it.
        progress: shows what is going on.
        overwrite: replace files that `generate` did not write.

    Returns:
        The files: one, or one per picture and the contact sheet last.

    Raises:
        PseudowordError: as `generate`; also if a file cannot be written, which is checked before
            anything is drawn.
    """
    files = PictureFiles(out, config.n, overwrite=overwrite)
    return files.finish(draw_pictures(prompt, config, concept, None, progress, None, files.keep))


class PictureFiles:
    """The files of `n` pictures.

    One picture goes into the named file. Several go into `NAME-1`, `NAME-2` … beside it, and a
    contact sheet into the file itself. Pictures that `generate` wrote there before are replaced.
    Without a name, the file is `picture.png`, or `picture-2.png` and so on; then nothing is
    replaced, also not what another command has written there while this one was drawing: all of
    the pictures then move on to the next free name.
    """

    def __init__(self, out: Path | None, n: int, *, overwrite: bool) -> None:
        """Check that the files can be written, before anything is drawn.

        Raises:
            SettingsError: the file's suffix is not that of a picture.
            StorageError: a file cannot be written, or is there and was not written by `generate`.
        """
        self._n, self._overwrite = n, overwrite
        self._out = DEFAULT_OUT if out is None and overwrite else out
        self._images: dict[int, Image] = {}
        self._written: dict[int, Path] = {}
        self._files = self._free_files()
        for path in self._files:
            picture_output.check(path, MAKER, overwrite=overwrite)

    def keep(self, number: int, picture: Image) -> None:
        """Write the picture of this number, counted from 0.

        Raises:
            StorageError: it cannot be written.
        """
        self._images[number] = picture
        numbers = [number]
        named = self._out is not None
        while True:
            try:
                for i in numbers:
                    path = self._files[i]
                    picture_output.write(
                        self._images[i], path, MAKER, overwrite=self._overwrite, replace=named
                    )
                    if (earlier := self._written.get(i)) is not None:
                        picture_output.remove(earlier, MAKER)
                    self._written[i] = path
                return
            except StorageError:
                if named or not os.path.lexists(path):
                    raise
            self._files = self._free_files()  # another command has just taken a name
            numbers = [*self._images]

    def finish(self, pictures: Sequence[Image]) -> list[Path]:
        """Write those that were not kept, and the contact sheet, which is the last of the files."""
        for number, picture in enumerate(pictures):
            if number not in self._images:
                self.keep(number, picture)
        if len(pictures) > 1:
            self.keep(len(pictures), grids.square_grid(pictures))
        return self._files

    def _free_files(self) -> list[Path]:
        """The files as they would be written now."""
        n = self._n
        return _paths(self._out or next_free(DEFAULT_OUT, lambda path: _paths(path, n)), n)


def _paths(out: Path, n: int) -> list[Path]:
    """The paths of `n` pictures, and of the contact sheet if there are several."""
    if n == 1:
        return [out]
    return [*(out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(1, n + 1)), out]


def _options(config: GenerateConfig) -> generation.GenerationOptions:
    return {
        "guidance": config.guidance,
        "guidance_rescale": config.guidance_rescale,
        "sampler_steps": config.sampler_steps,
        "resolution": config.resolution,
        "width": config.width,
        "height": config.height,
        "scheduler": config.scheduler,
        "emphasis": config.emphasis,
    }


def _check_memory(
    family: Family,
    config: GenerateConfig,
    options: generation.GenerationOptions,
    progress: Progress,
) -> None:
    """Check that the pictures can be drawn, and that they fit in memory."""
    settings = generation.check(family, **options)
    if not config.offload:  # the memory plan assumes that all of the model is on the device
        memory.check_drawing(family, config, (settings.width, settings.height))
    elif family.device.type == "cpu":
        progress.note("--offload has no effect on a CPU")


def _note_unused_concepts(
    concepts: Sequence[NamedConcept], prompts: Collection[str], progress: Progress
) -> None:
    """Report concepts that are in no prompt. Perhaps the prompt has the file's name instead."""
    tokens = [named.concept.token for named in concepts]
    used = named_in(prompts, tokens)
    for named, token in zip(concepts, tokens, strict=True):
        if token in used:
            continue
        names = (f"<{named.stem}>", named.stem) if named.stem else ()
        called = next((one for one in names if one in named_in(prompts, [one, *tokens])), None)
        if called:
            progress.note(
                f"the word of {named.name} is called {token}, which is in neither prompt, so it "
                f"changes nothing: write {token}, or give "
                f"{command('--concept', f'{named.name}={called}')}"
            )
        else:
            progress.note(f"{token} is in neither prompt, so it changes nothing")
