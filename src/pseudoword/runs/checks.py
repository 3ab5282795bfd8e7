"""Checks before long work: whether settings agree with the files they name and with the model.

What can be checked from the settings alone is checked in `config`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from pseudoword.config import TrainConfig
from pseudoword.config.captions import template_file
from pseudoword.config.fields import AUTO
from pseudoword.data import captions, examples, prompt_checks
from pseudoword.data.captions import render
from pseudoword.errors import PromptError, SettingsError
from pseudoword.formats.sources import NamedConcept
from pseudoword.methods import METHODS
from pseudoword.models import base_model
from pseudoword.models.compatibility import check_compatible, check_vector_count, remarks
from pseudoword.models.family import Family
from pseudoword.placeholders import pack_placeholder
from pseudoword.progress import Note
from pseudoword.runs import previews
from pseudoword.text import brief, command
from pseudoword.training import early_stopping, initialisation, memory, optimisers


def before_loading(
    config: TrainConfig, paths: Sequence[Path], templates: Sequence[str], note: Note
) -> None:
    """Check everything that needs no model, and report settings without effect.

    Raises:
        PseudowordError: settings contradict each other, or name something that does not exist.
    """
    for sentence in (*config.without_effect(), *captions.without_effect(config, templates)):
        note(sentence)
    _note_useless_previews(config, note)
    _note_late_plateau(config, note)
    optimisers.check(config.optimiser, config.optimiser_option)
    _note_rate_of_optimiser(config, note)
    for word in config.new_words:
        advice = initialisation.check(
            word, config.vectors, config.method, output=config.output_embedding
        )
        if advice:
            note(advice)
    config.held_out_of(len(paths))


def before_weights(config: TrainConfig) -> None:
    """Check what the device and the model's configs tell: its weights may be gigabytes to fetch.

    Raises:
        SettingsError: the device cannot do what is asked for, or sizes do not fit the model.
        BaseModelError: there is no such model, or its kind is not supported.
    """
    device = base_model.placement(config).device
    if config.graphs or config.resolution or config.width or config.height:
        model = base_model.Unloaded(config)
        _check_graphs(config, device, graphable=model.graphable)
        examples.crop_sizes(config, *model.resolution)


def _check_graphs(config: TrainConfig, device: torch.device, *, graphable: bool) -> None:
    if config.graphs and not graphable:
        raise SettingsError(
            f"--graphs does not work with {config.base}, whose denoiser cannot be recorded as one "
            "graph. Leave it out."
        )
    if config.graphs and device.type != "cuda":
        raise SettingsError(
            f"--graphs needs an NVIDIA GPU, and this run computes on {device}. Leave it out."
        )


def word_in_captions(
    config: TrainConfig,
    paths: Sequence[Path],
    templates: Sequence[str],
    others: Sequence[NamedConcept],
) -> None:
    """Check that a new word is in every caption, if it is not in the templates, and each in one.

    Where pictures that cannot be used are skipped, this is not known yet.

    Raises:
        PromptError: it is not; the message names the picture.
    """
    if config.skip_bad:
        return
    read = [
        (path, text)
        for path in (paths if captions.use_captions(templates) else ())
        for text in captions.variants(captions.filewords(path), config)
    ]
    of_others = [other.concept.token for other in others]
    prompt_checks.check_word(read, templates, [*config.tokens, "[name]"], of_others)
    prompt_checks.check_each_is_named(
        config.tokens,
        [text for _, text in read],
        templates,
        config,
        [*config.tokens, *of_others],
    )


def names(config: TrainConfig, templates: Sequence[str], others: Sequence[NamedConcept]) -> None:
    """Check that a new word is not called like a word of the templates, or like one of the others.

    Raises:
        SettingsError: it is.
    """
    known = [*config.tokens, *(other.concept.token for other in others)]
    # One's own sentences may name further new words.
    tokens = config.tokens if template_file(config.template) is None else [config.token]
    for template in templates:
        for token in tokens:
            if prompt_checks.names_one(template.replace("[name]", "[]"), [token], known):
                name = "--token" if token == config.token else "--also"
                raise SettingsError(
                    f"{name} {token} is already a word of {template!r}, a sentence of "
                    f"--template {brief(config.template)}. Call the new word <{token}>."
                )
    for other in others:
        if other.concept.token in config.tokens:
            raise SettingsError(
                f"--words {other.name} is called {other.concept.token}, as the new word is. Call "
                f"it otherwise: {command('--words', f'{other.name}=<{other.stem}-2>')}"
            )


def _note_useless_previews(config: TrainConfig, note: Note) -> None:
    for line in config.preview:
        texts = (line.prompt, line.negative)
        if captions.use_captions(texts):
            note(f"--preview {brief(line.text)}: [filewords] is left out: a preview has no caption")
        if not any(prompt_checks.names_one(text, ["[name]", *config.tokens]) for text in texts):
            note(f"--preview {brief(line.text)}: no [name] in it, so it does not show the word")


def _note_late_plateau(config: TrainConfig, note: Note) -> None:
    """Report a limit of steps that comes before early stopping can."""
    first = early_stopping.earliest_stop(config.evaluate_every, config.patience)
    if config.steps is AUTO and first > config.max_steps:
        note(
            f"--max-steps {config.max_steps} comes before early stopping can: with an evaluation "
            f"every {config.evaluate_every} steps, it can stop at step {first} or later"
        )


def _note_rate_of_optimiser(config: TrainConfig, note: Note) -> None:
    """Report a learning rate for an optimiser that finds its own."""
    if METHODS[config.method].has_own_optimiser():
        return
    relative = config.lr is AUTO or config.lr.percent
    if relative and optimisers.rate_of_its_own(config.optimiser):
        note(
            f"--optimiser {config.optimiser} finds its own learning rate and needs --lr 1, "
            f"not {config.lr}"
        )


def against_model(
    family: Family,
    config: TrainConfig,
    templates: Sequence[str],
    note: Note,
    words: int = 1,
    others: Sequence[NamedConcept] = (),
) -> None:
    """Check that the model can do what the settings of a word ask for.

    So many `words` are learned at once; `others` are other words of its prompts.

    Raises:
        SettingsError: timesteps, vectors or sizes are too much for the model or the memory, or the
            device cannot do what is asked for.
        ConceptError: the word would be longer than the longest prompt, or the one to continue from
            or another one does not fit the model.
    """
    for word in config.new_words:
        if concept := initialisation.named_concept(word):
            check_compatible(concept, family, whole=True)  # before pictures are encoded
            for said in remarks(concept, family):
                note(said)
    for other in others:
        check_compatible(other.concept, family)
        for said in remarks(other.concept, family):
            note(said)
    _check_graphs(config, family.device, graphable=family.graphable)
    if config.offload and family.device.type == "cpu":
        note("--offload has no effect on a CPU")
    sizes = examples.crop_sizes(config, family.resolution, family.resolution_step)
    for size in sizes:
        family.check_size(*size)
    memory.check_training(family, config, sizes[0], words)
    previews.check(family, config)
    _check_timesteps(family, config)
    for token in config.tokens:
        if any(len(encoder.reader.token_ids(token)) == 1 for encoder in family.encoders.values()):
            note(
                f"{token} is a word that {family.source.name} already knows. In prompts, it will "
                f"mean the new word instead. <{token}> would keep both."
            )
    if config.vectors is not AUTO:
        check_vector_count(config.token, config.vectors, family)
        _check_room_in_templates(family, templates, config.vectors)


def _check_timesteps(family: Family, config: TrainConfig) -> None:
    timesteps = family.noise_schedule.timesteps
    for name, value, largest in (
        ("--min-timestep", config.min_timestep, timesteps - 1),
        ("--max-timestep", config.max_timestep, timesteps),
    ):
        if value is not None and value > largest:
            raise SettingsError(
                f"{name} {value} is too large for {family.source.name}, which has {timesteps} "
                f"timesteps. Give at most {largest}, or leave it out."
            )


def _check_room_in_templates(family: Family, templates: Sequence[str], vectors: int) -> None:
    placeholder = pack_placeholder(0)
    for template in templates:
        prompt = render(template, placeholder)
        for encoder in family.encoders.values():
            try:
                encoder.reader.tokenize([prompt], {placeholder: vectors})
            except PromptError as error:
                raise SettingsError(
                    f"--vectors {vectors} leaves too few of the {encoder.reader.max_tokens} "
                    f"tokens that {family.source.name} reads for {template!r}. Give fewer vectors, "
                    "or shorter templates."
                ) from error
