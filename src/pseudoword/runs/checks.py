"""Whether settings agree with the files they name and with the model: asked before long work.

What settings can be told apart from all else is said beside their fields, in `config`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pseudoword.config import TrainConfig
from pseudoword.config.fields import AUTO
from pseudoword.config.prompt_lines import PromptLine
from pseudoword.data import captions, examples
from pseudoword.data.captions import render
from pseudoword.errors import PromptError, SettingsError
from pseudoword.models.compatibility import check_vector_count
from pseudoword.models.family import Family
from pseudoword.models.injection import tokenize
from pseudoword.placeholders import split
from pseudoword.runs import previews
from pseudoword.text import brief
from pseudoword.training import early_stopping, initialisation, loss, memory, optimisers

Note = Callable[[str], None]


def before_loading(
    config: TrainConfig, paths: Sequence[Path], templates: Sequence[str], note: Note
) -> None:
    """See what can be seen without the model, and tell of what has no effect.

    Args:
        config: of one word.
        paths: its pictures.
        templates: its sentences.
        note: told what the user should know.

    Raises:
        PseudowordError: settings contradict each other, or name what is not there.
    """
    for told in (*config.without_effect(), *captions.without_effect(config, templates)):
        note(told)
    for line in config.preview:
        if not _mentions(config.token, line):
            note(f"--preview {brief(line.text)}: no [name] in it, so it shows nothing of the word")
    judged = config.evaluate_every * (max(config.patience, early_stopping.EARLIEST) + 1)
    if config.steps is AUTO and judged > config.max_steps:
        note(
            f"--max-steps {config.max_steps} comes before a run that is evaluated every "
            f"{config.evaluate_every} steps can be seen to have settled, at step {judged}"
        )
    optimisers.check(config.optimiser, config.optimiser_option)
    relative = config.lr is AUTO or config.lr.percent
    if config.method != "directional" and relative and optimisers.rate_of_its_own(config.optimiser):
        note(
            f"--optimiser {config.optimiser} finds its rate itself and is meant for --lr 1, "
            f"not {config.lr}"
        )
    taken = initialisation.check(config.init, config.init_mode, config.vectors, config.method)
    if taken:
        note(taken)
    config.held_out_of(len(paths))
    for template in templates:
        if len(split(template.replace("[name]", "[]"), [config.token])) > 1:
            raise SettingsError(
                f"--token {config.token} stands as a known word in {template!r}, a sentence of "
                f"--template {brief(config.template)}. Call the new word <{config.token}>."
            )


def _mentions(token: str, line: PromptLine) -> bool:
    prompts = (line.prompt, line.negative)
    return any("[name]" in text or len(split(text, [token])) > 1 for text in prompts)


def against_model(
    family: Family, config: TrainConfig, templates: Sequence[str], note: Note, words: int = 1
) -> None:
    """See whether `family` can do what is asked, and tell what it knows the token as.

    Args:
        family: the model.
        config: of one word.
        templates: its sentences.
        note: told what the user should know.
        words: how many are learned at once.

    Raises:
        SettingsError: timesteps, vectors or sizes are beyond the model or the memory.
        ConceptError: the word would be longer than all that the model reads.
    """
    sizes = examples.crop_sizes(config, family.resolution, family.resolution_step).sizes
    memory.check_training(
        family,
        config,
        sizes[0],
        samples=config.batch * words,
        accumulate=config.accumulate,
        checkpointing=config.gradient_checkpointing,
        method=config.method,
    )
    previews.check(family, config)
    known = family.noise_schedule.timesteps
    for name, given, most in (
        ("--min-timestep", config.min_timestep, known - 1),
        ("--max-timestep", config.max_timestep, known),
    ):
        if given is not None and given > most:
            raise SettingsError(
                f"{name} {given} is beyond {family.source.name}, which knows {known} timesteps. "
                f"Give {most} at most, or leave it out."
            )
    for encoder in family.encoders.values():
        if len(encoder.token_ids(config.token)) == 1:
            note(
                f"{config.token} is a word that {family.source.name} knows; in prompts with the "
                f"new one it will mean that. <{config.token}> would leave both."
            )
            break
    if config.vectors is AUTO:
        return
    check_vector_count(config.token, config.vectors, family)
    mark = loss.pack_placeholder(0)
    for template in templates:
        prompt = render(template, mark)
        for encoder in family.encoders.values():
            try:
                tokenize(encoder.tokenizer, [prompt], {mark: config.vectors}, encoder.length)
            except PromptError as error:
                raise SettingsError(
                    f"--vectors {config.vectors} leaves too little of the {encoder.length - 2} "
                    f"tokens that {family.source.name} reads for {template!r}. Give fewer vectors, "
                    "or shorter sentences."
                ) from error
