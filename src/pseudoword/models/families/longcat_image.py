"""LongCat-Image: Qwen 2.5 VL in a chat about captions, a relative of FLUX.1's transformer.

Conditioning is as in diffusers' LongCatImagePipeline, which draws the pictures: what is in
quotation marks is read letter by letter, and the transformer reads the states of padding as text.
The pipeline would also let its language model write a prompt anew; here it is read as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import proxy

import torch
from torch import Tensor

from pseudoword.models.families.packed import PackedFamily, positions
from pseudoword.models.family import Condition, GenerationSettings
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.reading.injection import Words
from pseudoword.models.reading.language_model import up_to
from pseudoword.models.reading.pipeline_readers import empty
from pseudoword.models.reading.prompt_reader import ids_of
from pseudoword.models.reading.prompts import Prompts
from pseudoword.models.reading.sequence_reader import SequenceReader

PIPELINE = "LongCatImagePipeline"

QUOTED = re.compile("|".join(f"{a}[^{a}{b}]*{b}" for a, b in ("''", '""', "‘’", "“”")))
CONTRACTION = re.compile("[a-zA-Z]+'[a-zA-Z]+")
"""A word such as don't, whose apostrophe is no quotation mark."""


def _in_chat(tokenizer: Any) -> SequenceReader:
    """Qwen 2.5 VL in a chat, where padding is behind the prompt; only these two are the text."""
    pipeline = empty(PIPELINE)
    before = pipeline.prompt_template_encode_prefix
    behind = pipeline.prompt_template_encode_suffix
    first, last = (len(ids_of(tokenizer, text)) for text in (before, behind))

    def apart(text: str) -> Iterator[str]:
        yield before
        yield from letters_of_quotes(text.removeprefix(before))

    return SequenceReader(
        tokenizer,
        first + pipeline.tokenizer_max_length + last,
        lambda prompt: before + prompt,
        apart=apart,
        behind=behind,
        used=slice(first, -last),
    )


def letters_of_quotes(prompt: str) -> Iterator[str]:
    """The parts of a prompt: each character in quotation marks, with these, and what is between."""
    marked = CONTRACTION.sub(lambda found: found[0].replace("'", "_"), prompt)
    at = 0
    for quote in QUOTED.finditer(marked):
        yield prompt[at : quote.start()]
        yield from prompt[slice(*quote.span())]
        at = quote.end()
    yield prompt[at:]


class LongCatImage(PackedFamily):
    """A LongCat-Image-style model; a concept has rows for Qwen 2.5 VL."""

    name = "longcat-image"
    pipelines = (PIPELINE,)
    kind = "LongCatImageTransformer2DModel"
    usual_guidance = 4.5
    text_encoders = (
        EncoderPart(
            "qwen25_7b",
            "Qwen2_5_VLForConditionalGeneration",
            reads=_in_chat,
            masked=True,
            take=up_to,
        ),
    )

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        return replace(super().encode_text(prompts, words), mask=None)

    def places(self, text: Tensor, rows: int, columns: int) -> dict[str, Any]:
        """The text is on the diagonal before the picture."""
        count = text.shape[1]
        of_text = torch.zeros(count, 3, device=text.device, dtype=torch.float32)
        of_text[:, 1:] = torch.arange(count, device=text.device)[:, None]
        of_picture = positions(rows, columns, text.device)
        of_picture[:, 0] += 1
        of_picture[:, 1:] += count
        return {"txt_ids": of_text, "img_ids": of_picture}

    def drawing_options(self, _settings: GenerationSettings, _count: int) -> dict[str, Any]:
        return {"enable_prompt_rewrite": False}

    def _pipeline(self, scheduler: str | None = None, **more: Any) -> Any:
        pipeline = super()._pipeline(scheduler, **more)
        pipeline.encode_prompt = partial(_with_places, proxy(pipeline))
        return pipeline


def _with_places(pipeline: Any, *, prompt_embeds: Tensor, **_more: Any) -> Any:
    """Encoded prompts as `encode_prompt` gives them: it counts prompts, of which there are none."""
    count = [""] * len(prompt_embeds)
    return pipeline.__class__.encode_prompt(pipeline, count, prompt_embeds=prompt_embeds)
