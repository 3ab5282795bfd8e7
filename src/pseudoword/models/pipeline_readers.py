"""How diffusers' pipelines read prompts with a text encoder that is not CLIP's, one function each.

Lengths are the pipelines' defaults. Templates and instructions are taken from the installed
diffusers, so that a prompt without a new word is read as its pipeline reads it. Each function makes
a reader of a tokenizer; `TextEncoder` says where the hidden states come from.
"""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

from pseudoword.models.sequence_reader import SequenceReader

stable_diffusion_3 = partial(SequenceReader, length=256)
"""T5; it isn't told which tokens are padding."""

flux = partial(SequenceReader, length=512)
"""T5; it isn't told which tokens are padding. Chroma's is, and is as long."""

aura_flow = partial(SequenceReader, length=256)
"""UMT5; what it says of padding is multiplied by zero."""


def lower_case(prompt: str) -> str:
    """What PixArt and Sana make of a prompt."""
    return prompt.lower().strip()


pixart = partial(SequenceReader, length=300, template=lower_case)
"""T5 with a mask."""


def sana(tokenizer: Any) -> SequenceReader:
    """Gemma 2 with an instruction before the prompt, of which only the first token is text."""
    from diffusers import SanaPipeline

    lines = signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default
    instruction = "\n".join(lines)
    own = sana_negative(tokenizer).length
    length = len(tokenizer.encode(instruction)) + own - 2
    return SequenceReader(
        tokenizer,
        length,
        lambda prompt: instruction + lower_case(prompt),
        used=[0, *range(length - own + 1, length)],
    )


def sana_negative(tokenizer: Any) -> SequenceReader:
    """As `sana` for negative prompts, which have no instruction."""
    tokenizer.padding_side = "right"
    return SequenceReader(tokenizer, 300, lower_case)


def lumina2(tokenizer: Any) -> SequenceReader:
    """Gemma 2 with a sentence before the prompt."""
    from diffusers import Lumina2Pipeline

    sentence: str = _pipeline(Lumina2Pipeline).system_prompt
    tokenizer.padding_side = "right"
    return SequenceReader(tokenizer, 256, lambda prompt: f"{sentence} <Prompt Start> {prompt}")


def lumina2_negative(tokenizer: Any) -> SequenceReader:
    """As `lumina2` for negative prompts, which have no sentence before them."""
    tokenizer.padding_side = "right"
    return SequenceReader(tokenizer, 256)


def qwen_image(tokenizer: Any) -> SequenceReader:
    """Qwen 2.5 VL in a chat about the picture, whose beginning is no text."""
    from diffusers import QwenImagePipeline

    pipeline = _pipeline(QwenImagePipeline)
    first = pipeline.prompt_template_encode_start_idx
    # it encodes twice as many tokens, and then cuts them
    most = signature(QwenImagePipeline.__call__).parameters["max_sequence_length"].default
    tokenizer.padding_side = "right"
    return SequenceReader(
        tokenizer,
        most + first,
        pipeline.prompt_template_encode.format,
        used=slice(first, None),
        pad_to="longest",
    )


def z_image(tokenizer: Any) -> SequenceReader:
    """Qwen 3 in a chat, before it answers."""
    return SequenceReader(tokenizer, 512, _chat(tokenizer, enable_thinking=True))


def flux2_klein(tokenizer: Any) -> SequenceReader:
    """Qwen 3 in a chat, when it has thought of nothing."""
    return SequenceReader(tokenizer, 512, _chat(tokenizer, enable_thinking=False))


def flux2(tokenizer: Any) -> SequenceReader:
    """Mistral 3 in a chat with a system message; its template writes the begin token."""
    from diffusers.pipelines.flux2.pipeline_flux2 import format_input

    def template(prompt: str) -> str:
        (messages,) = format_input([prompt])
        text: str = tokenizer.apply_chat_template(messages, tokenize=False)
        return text

    return SequenceReader(tokenizer, 512, template, special_tokens=False)


def _chat(tokenizer: Any, *, enable_thinking: bool) -> Callable[[str], str]:
    """The tokenizer's own template around a message of the user."""

    def template(prompt: str) -> str:
        text: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=enable_thinking,
        )
        return text

    return template


def _pipeline(kind: Any) -> Any:
    """A pipeline of diffusers without its parts, which tells its template."""
    return kind(**dict.fromkeys(list(signature(kind.__init__).parameters)[1:]))
