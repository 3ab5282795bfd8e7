"""Set up a run: from settings and pictures to a concept that is ready for its first step."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.fields import AUTO
from pseudoword.config.word import NewWord
from pseudoword.data import captions, examples, image_quality, latents, picture_files
from pseudoword.data.latents import EncodedPicture
from pseudoword.data.prompt_checks import (
    check_captions,
    check_each_is_named,
    names_one,
    note_unknown_words,
    note_weights,
)
from pseudoword.errors import PromptError
from pseudoword.formats import LEARNED_WITH, names
from pseudoword.methods import Initialisation, Rows
from pseudoword.models.compatibility import vocabulary
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.rng import generator
from pseudoword.runs import checkpoint, previews
from pseudoword.runs.chosen import Chosen
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.planned import PlannedRun
from pseudoword.text import brief, counted, version
from pseudoword.training import initialisation, joint_words, nearest_word, other_words
from pseudoword.training.batches import TrainingData


@dataclass(frozen=True)
class Setup:
    """What one concept learns from, and its initial rows. `auto` settings are still open."""

    planned: PlannedRun
    family: str
    data: TrainingData
    held_out: list[EncodedPicture]
    """pictures that it does not learn from; empty if there are too few"""
    start: Initialisation
    """the rows of all new words together (`joint_words`)"""
    beginnings: Sequence[dict[str, str]]
    """of each new word: what is written into it about how it began"""
    chosen: Chosen
    """what has been chosen so far"""
    sources: dict[str, str]
    """a checksum for each of `checkpoint.SOURCES`, and of `checkpoint.FILES`"""
    provenance: dict[str, str]

    @property
    def config(self) -> TrainConfig:
        """The settings."""
        return self.planned.config

    @property
    def folder(self) -> RunFolder:
        """The folder of the run."""
        return self.planned.folder


def set_up(family: Family, planned: PlannedRun, *, restart: bool = False) -> Setup:
    """Read and encode the pictures, and make the initial rows.

    With `restart`, what an earlier run has chosen does not count.

    Raises:
        PseudowordError: a picture, a caption or a prompt cannot be used.
    """
    config, progress = planned.config, planned.progress
    paths, templates = planned.paths, planned.templates
    captions.note_unused(paths, templates, config, progress.note)
    captions.note_file_names(paths, templates, progress.note)
    pictures = _encode(family, config, paths, progress)
    learned, held_out = _hold_out(config, pictures)
    if held_out:
        progress.note(f"{config.called}: held out {len(held_out)} of {len(pictures)} pictures")
    others = [named.concept for named in planned.others]
    placed = other_words.placed(family, others)
    token, *also = config.tokens
    data = TrainingData(token, learned, templates, config, config, others=placed, also=also)
    chosen = Chosen() if restart else planned.folder.read_chosen()
    word, *further = config.new_words
    of_further = [_initial_rows(family, config, one, len(learned)) for one in further]
    if config.init_mode == "nearest":
        init = _nearest_word(family, config, data, of_further, chosen.init, progress)
        chosen = chosen.model_copy(update={"init": init})
        word = word._replace(init=init)
    words = [word, *further]
    rows = [_initial_rows(family, config, word, len(learned)), *of_further]
    vectors = {one.token: max(map(len, own.values())) for one, own in zip(words, rows, strict=True)}
    for name, count in vectors.items():
        if warning := names.diffusers_warning(name, count, vocabulary(family)):
            progress.note(f"{name}: {warning}")
    _check_prompts(family, planned, pictures, learned, vectors)
    if config.keep_context:
        initial = joint_words.together(rows).items()
        data = replace(data, initial={key: r.to(family.device) for key, r in initial})
    sources = _checksums(family, pictures, templates, others)
    sources[checkpoint.FILES] = examples.fingerprint(paths, config)
    return Setup(
        planned,
        family.name,
        data,
        held_out,
        initialisation.begin(family, joint_words.together(rows)),
        [_beginning(config, word) for word in words],
        chosen,
        sources,
        _provenance(family, config, len(learned), sources),
    )


def _initial_rows(family: Family, config: TrainConfig, word: NewWord, pictures: int) -> Rows:
    """The rows that a word for so many pictures begins as."""
    vectors = _vectors(family, config, word.init, pictures)
    return initialisation.initial_rows(
        family, word, vectors, config.seed, output=config.output_embedding
    )


def _checksums(
    family: Family,
    pictures: Sequence[EncodedPicture],
    templates: Sequence[str],
    others: Sequence[Concept],
) -> dict[str, str]:
    """A checksum for each of `checkpoint.SOURCES` that there is."""
    learned_from = "".join(p.identity for p in pictures)
    if len({p.repeats for p in pictures}) > 1:
        learned_from += repr([p.repeats for p in pictures])
    found = {
        "pictures": hashlib.sha256(learned_from.encode()).hexdigest(),
        "template": hashlib.sha256("\n".join(templates).encode()).hexdigest(),
        "base": family.fingerprint(),
    }
    return found | ({"words": other_words.fingerprint(others)} if others else {})


def _nearest_word(
    family: Family,
    config: TrainConfig,
    data: TrainingData,
    further: Sequence[Rows],
    before: str | None,
    progress: Progress,
) -> str:
    """The one of the words in `init` that fits the pictures best; `before`, if it is one of them.

    `further` are the rows of the words that are learned with it.

    Raises:
        SettingsError: one of them has no tokens.
    """
    words = nearest_word.candidates(config.init)
    if before in words:
        return before
    progress.phase(f"choosing which of {len(words)} words {config.token} starts from")
    pictures = len(data.pictures)
    found = nearest_word.nearest(
        family,
        data,
        words,
        [_vectors(family, config, word, pictures) for word in words],
        further,
        progress.advance,
    )
    best = ", ".join(f"{brief(word)} ({loss:.3f})" for loss, word in found[:3])
    progress.note(f"{config.token} starts from {brief(found[0][1])}; lowest loss: {best}")
    return found[0][1]


def _vectors(family: Family, config: TrainConfig, init: str, pictures: int) -> int:
    """The number of vectors for so many pictures, beginning at `init`."""
    if config.vectors is not AUTO:
        return config.vectors
    words = init if config.init_mode != "random" else ""
    return initialisation.vector_count(family, words, pictures)


def _encode(
    family: Family,
    config: TrainConfig,
    paths: Sequence[Path],
    progress: Progress,
) -> list[EncodedPicture]:
    """Read the pictures, report their problems, and encode them."""
    progress.phase(f"reading {counted(len(paths), 'picture')} for {config.called}")
    sizes = examples.crop_sizes(config, family.resolution, family.resolution_step)
    read = examples.read(paths, config, sizes, seed=config.seed, note=progress.note)
    read = image_quality.note_problems(read, progress.note)
    repeats = dict(zip(paths, picture_files.repeats(config.pictures, paths), strict=True))
    pictures = []
    for picture in latents.encode(family, read, config.unmasked_weight, progress.note):
        pictures.append(replace(picture, repeats=repeats[picture.path]))
        progress.advance(len(pictures), len(paths))
    return pictures


def _check_prompts(
    family: Family,
    planned: PlannedRun,
    pictures: Sequence[EncodedPicture],
    learned: Sequence[EncodedPicture],
    new: Mapping[str, int],
) -> None:
    """Check that captions and previews leave room for the words; report what is cut off.

    Of the `pictures`, those `learned` are not held out; `new` has the number of vectors of each new
    word.

    Raises:
        PromptError: there is no room, or one of several words is in no prompt.
    """
    config, templates, note = planned.config, planned.templates, planned.progress.note
    others = other_words.counts(named.concept for named in planned.others)
    known = [*new, *others]

    def of(some: Sequence[EncodedPicture]) -> list[tuple[Path, str]]:
        return [(p.path, text) for p in some for text in captions.variants(p.filewords, config)]

    check_captions(
        [encoder.reader for encoder in family.encoders.values()],
        of(pictures),
        templates,
        new,
        note,
        shuffled=config.shuffle_tags,
        others=others,
    )
    texts = [
        *templates,
        *(text for _, text in (of(pictures) if captions.use_captions(templates) else ())),
    ]
    note_weights(texts, note, known)
    note_unknown_words(texts, note, known)
    previews.check_prompts(family, config, {**new, **others}, note)
    try:
        texts_of_learned = [text for _, text in of(learned)]
        check_each_is_named(config.tokens, texts_of_learned, templates, config, known)
    except PromptError as error:
        if len(learned) == len(pictures):
            raise
        raise PromptError(
            f"{error} Pictures that are held out do not count; --held-out 0 learns from all."
        ) from error
    shown = [text for line in config.preview for text in (line.prompt, line.negative)]
    for named in planned.others:
        token = named.concept.token
        if not any(names_one(text, [token], known) for text in (*texts, *shown)):
            note(f"--words {named.name}: no caption, sentence or preview has {token} in it")


def _provenance(
    family: Family,
    config: TrainConfig,
    pictures: int,
    sources: Mapping[str, str],
) -> dict[str, str]:
    """What is written into all words of a run about how they were learned."""
    return {
        "base": family.source.name,
        "base_fingerprint": sources["base"],
        **({"clip_skip": str(config.clip_skip)} if config.clip_skip > 1 else {}),
        "batch": str(config.batch),
        "resolution": str(config.resolution or family.resolution),
        "template": config.template,
        "seed": str(config.seed),
        "pictures": str(pictures),
        "data_sha256": sources["pictures"],
        "version": version(),
    }


def _beginning(config: TrainConfig, word: NewWord) -> dict[str, str]:
    """What is written into one word of a run about how it began, and what it was learned with."""
    found = {"init": word.init, "init_mode": initialisation.mode_of(word)}
    others = [token for token in config.tokens if token != word.token]
    return found | ({LEARNED_WITH: ", ".join(others)} if others else {})


def _hold_out(
    config: TrainConfig, pictures: Sequence[EncodedPicture]
) -> tuple[list[EncodedPicture], list[EncodedPicture]]:
    """Split the pictures into those to learn from and those to hold out for evaluations."""
    n = config.held_out_of(len(pictures))  # only pictures that could be read
    source = generator(config.token, "held out")  # the same for every seed
    chosen = torch.randperm(len(pictures), generator=source)[:n].tolist()
    return (
        [picture for i, picture in enumerate(pictures) if i not in chosen],
        [pictures[i] for i in sorted(chosen)],
    )
