"""How diffusers' pipelines read prompts with a text encoder that is not CLIP's, one function each.

Lengths, templates and instructions are those of the installed diffusers, so that a prompt without a
new word is read as its pipeline reads it. Each function makes a reader of a tokenizer;
`TextEncoder` says where the hidden states come from.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any

from pseudoword.models.sequence_reader import SequenceReader


def stable_diffusion_3(tokenizer: Any) -> SequenceReader:
    """T5; it isn't told which tokens are padding."""
    from diffusers import StableDiffusion3Pipeline

    return SequenceReader(tokenizer, most_tokens(StableDiffusion3Pipeline))


def flux(tokenizer: Any) -> SequenceReader:
    """T5; it isn't told which tokens are padding. Chroma's is, and is as long."""
    from diffusers import FluxPipeline

    return SequenceReader(tokenizer, most_tokens(FluxPipeline))


def aura_flow(tokenizer: Any) -> SequenceReader:
    """UMT5; what it says of padding is multiplied by zero."""
    from diffusers import AuraFlowPipeline

    return SequenceReader(tokenizer, most_tokens(AuraFlowPipeline))


def lower_case(prompt: str) -> str:
    """What PixArt and Sana make of a prompt."""
    return prompt.lower().strip()


def pixart(tokenizer: Any) -> SequenceReader:
    """T5 with a mask."""
    from diffusers import PixArtSigmaPipeline

    return SequenceReader(tokenizer, most_tokens(PixArtSigmaPipeline), lower_case)


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
    from diffusers import SanaPipeline

    tokenizer.padding_side = "right"
    return SequenceReader(tokenizer, most_tokens(SanaPipeline), lower_case)


def lumina2(tokenizer: Any) -> SequenceReader:
    """Gemma 2 with a sentence before the prompt."""
    from diffusers import Lumina2Pipeline

    sentence: str = _pipeline(Lumina2Pipeline).system_prompt
    tokenizer.padding_side = "right"
    return SequenceReader(
        tokenizer,
        most_tokens(Lumina2Pipeline),
        lambda prompt: f"{sentence} <Prompt Start> {prompt}",
    )


def lumina2_negative(tokenizer: Any) -> SequenceReader:
    """As `lumina2` for negative prompts, which have no sentence before them."""
    from diffusers import Lumina2Pipeline

    tokenizer.padding_side = "right"
    return SequenceReader(tokenizer, most_tokens(Lumina2Pipeline))


def qwen_image(tokenizer: Any) -> SequenceReader:
    """Qwen 2.5 VL in a chat about the picture, whose beginning is no text."""
    from diffusers import QwenImagePipeline

    pipeline = _pipeline(QwenImagePipeline)
    first = pipeline.prompt_template_encode_start_idx
    # it encodes twice as many tokens, and then cuts them
    most = most_tokens(QwenImagePipeline)
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
    from diffusers import ZImagePipeline

    chat = _chat(tokenizer, enable_thinking=True)
    return SequenceReader(tokenizer, most_tokens(ZImagePipeline), chat)


def flux2_klein(tokenizer: Any) -> SequenceReader:
    """Qwen 3 in a chat, when it has thought of nothing."""
    from diffusers import Flux2KleinPipeline

    chat = _chat(tokenizer, enable_thinking=False)
    return SequenceReader(tokenizer, most_tokens(Flux2KleinPipeline), chat)


def flux2(tokenizer: Any) -> SequenceReader:
    """Mistral 3 in a chat with a system message; its template writes the begin token."""
    from diffusers.pipelines.flux2.pipeline_flux2 import Flux2Pipeline, format_input

    def template(prompt: str) -> str:
        (messages,) = format_input([prompt])
        text: str = tokenizer.apply_chat_template(messages, tokenize=False)
        return text

    most = most_tokens(Flux2Pipeline)
    return SequenceReader(tokenizer, most, template, special_tokens=False)


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


def most_tokens(kind: Any) -> int:
    """The length at which a pipeline of diffusers cuts a text."""
    most: int = signature(kind.__call__).parameters["max_sequence_length"].default
    return most


def _pipeline(kind: Any) -> Any:
    """A pipeline of diffusers without its parts, which tells its template."""
    return kind(**dict.fromkeys(list(signature(kind.__init__).parameters)[1:]))
