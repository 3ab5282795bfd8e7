"""Draw a prompt with new words in it: what `generate` does around `models.generation`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL.Image import Image

from pseudoword.concept import Concept
from pseudoword.config import GenerateConfig
from pseudoword.config.fields import check_text
from pseudoword.data import prompt_checks
from pseudoword.formats import sources
from pseudoword.models import base_model, generation, lora
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.family import Family
from pseudoword.placeholders import split, undelimited
from pseudoword.progress import Progress
from pseudoword.report.drawn_pictures import Drawings
from pseudoword.training import memory

Concepts = str | Path | Concept | Sequence[str | Path | Concept]
"""One concept or several: files, folders, hub ids, or concepts that are read already."""


def draw_pictures(
    prompt: str,
    config: GenerateConfig,
    concept: Concepts,
    token: str | Sequence[str | None] | None,
    progress: Progress,
    family: Family | None = None,
) -> list[Image]:
    """Draw `prompt`; the public `generate`. `family` may be what `load_base` gave."""
    check_text("the prompt", prompt)
    for idle in config.without_effect():
        progress.note(idle)
    found = sources.read_named(concept, token)
    loras = [lora.parse(text) for text in config.lora]
    concepts = [word.concept for word in found]
    texts = {"the prompt": undelimited(prompt), "the negative prompt": undelimited(config.negative)}
    for word in found:
        if not _mentioned(word.concept.token, texts.values()):
            progress.note(_unmentioned(word, texts.values()))
    prompt_checks.note_weights(texts.values(), progress.note, [word.token for word in concepts])
    if family is None:
        family = load_base(config, progress)
    if config.offload and family.device.type == "cpu":
        progress.note("--offload has no effect on a CPU")
    asked: generation.Asked = {
        "guidance": config.guidance,
        "guidance_rescale": config.guidance_rescale,
        "sampler_steps": config.sampler_steps,
        "resolution": config.resolution,
        "width": config.width,
        "height": config.height,
        "scheduler": config.scheduler,
    }
    settings = generation.check(family, **asked)
    if not config.offload:  # what a plan counts is all there at once
        memory.check_drawing(family, config, (settings.width, settings.height))
    for one in concepts:
        check_compatible(one, family)
    counts = {word.token: max(map(len, word.vectors.values())) for word in concepts}
    for called, text in texts.items():
        reading = prompt_checks.most_truncated(family.encoders.values(), text, counts)
        prompt_checks.note_truncation(called, reading, progress.note)
    progress.phase("drawing")
    return generation.generate(
        family,
        [texts["the prompt"]] * config.n,
        concepts,
        seeds=[config.seed + i for i in range(config.n)],
        negative=texts["the negative prompt"],
        **asked,
        loras=loras,
    )


def load_base(config: GenerateConfig, progress: Progress) -> Family:
    """Load the base model to draw with, for whoever draws several times."""
    progress.phase(f"loading {config.base}")
    return base_model.load(config, offload=config.offload)


def draw_files(
    prompt: str,
    config: GenerateConfig,
    concept: Concepts,
    out: Path | None,
    progress: Progress,
    overwrite: bool = False,
) -> list[Path]:
    """What the command `generate` does: draw `prompt`, and write the pictures.

    Args:
        prompt: the text.
        config: how to draw it.
        concept: one or several.
        out: the file to write; by default `picture.png`, or `picture-2.png` and so on. Several
            pictures go into numbered files beside it, and a contact sheet of them into it.
        progress: told what is going on.
        overwrite: replace files that no drawing has written.

    Returns:
        The files: one, or one per picture and the contact sheet last.

    Raises:
        PseudowordError: as `generate`; also if a file cannot be written, which is found out before
            anything is drawn.
    """
    drawings = Drawings(out, config.n, overwrite=overwrite)
    return drawings.write(draw_pictures(prompt, config, concept, None, progress))


def _mentioned(token: str, prompts: Iterable[str]) -> bool:
    return any(len(split(prompt, [token])) > 1 for prompt in prompts)


def _unmentioned(word: sources.NamedConcept, prompts: Iterable[str]) -> str:
    """What to say of a word that no prompt mentions; perhaps it was meant by its file's name."""
    token = word.concept.token
    if not word.stem or not _mentioned(word.stem, prompts):
        return f"{token} is in neither prompt, so it changes nothing"
    return (
        f"the word of {word.name} is called {token}, which is in neither prompt, so it changes "
        f"nothing: write {token}, or give --concept {word.name}={word.stem}"
    )
