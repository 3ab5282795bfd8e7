"""How diffusers' pipelines read prompts with a text encoder that is not CLIP's.

Lengths, templates and instructions are those of the installed diffusers, so that a prompt without a
new word is read as its pipeline reads it. A family whose pipeline has a way of its own says so in
its file. Pipelines are named, since diffusers takes seconds to import.
"""

from inspect import signature
from typing import Any

from pseudoword.models.diffusers_classes import diffusers_class, without_parts
from pseudoword.models.reading.prompt_reader import Reads
from pseudoword.models.reading.sequence_reader import SequenceReader, Template, as_it_is


def cut_as_in(pipeline: str, template: Template = as_it_is) -> Reads:
    """One sequence, as long as the pipeline's, of what `template` makes of a prompt."""
    return lambda tokenizer: SequenceReader(tokenizer, most_tokens(pipeline), template)


def in_chat(pipeline: str, *, thinking: bool) -> Reads:
    """Qwen 3's own template around a message of the user; as long as the pipeline's texts.

    Args:
        pipeline: of diffusers.
        thinking: whether it is still to think, or has thought of nothing.
    """
    return lambda tokenizer: SequenceReader(
        tokenizer, most_tokens(pipeline), chat(tokenizer, thinking=thinking)
    )


def chat(tokenizer: Any, *, thinking: bool) -> Template:
    """The template of a tokenizer of Qwen 3 around a message of the user."""

    def template(prompt: str) -> str:
        text: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=thinking,
        )
        return text

    return template


def lower_case(prompt: str) -> str:
    """What PixArt and Sana make of a prompt."""
    return prompt.lower().strip()


def most_tokens(pipeline: str) -> int:
    """The length at which a pipeline cuts a text."""
    return int(default(pipeline, "max_sequence_length"))


def default(pipeline: str, name: str) -> Any:
    """What a pipeline takes for an argument that it is called without."""
    return signature(diffusers_class(pipeline).__call__).parameters[name].default


def empty(pipeline: str) -> Any:
    """A pipeline without its parts, which tells its template."""
    kind = diffusers_class(pipeline)
    return kind(**without_parts(kind))
