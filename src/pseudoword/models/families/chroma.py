"""Chroma: a relative of FLUX.1 that reads only T5, and is guided by a negative prompt.

Conditioning is as in diffusers' ChromaPipeline, which draws the pictures: T5 is told which tokens
are padding, and the transformer reads the first one of these as the end of the text.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pseudoword.models import pipeline_readers
from pseudoword.models.families.packed import PackedFamily
from pseudoword.models.family import Condition
from pseudoword.models.injection import Words, rows_of
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.prompt_reader import PromptReader
from pseudoword.models.prompts import Prompts
from pseudoword.models.text_encoder import TextEncoder


class Chroma(PackedFamily):
    """A Chroma-style model; a concept has rows for T5."""

    name = "chroma"
    pipelines = ("ChromaPipeline",)
    kind = "ChromaTransformer2DModel"
    usual_guidance = 5.0
    _mask: Tensor
    """of the prediction that is being made"""

    @staticmethod
    def readers(parts: ModelParts) -> list[PromptReader]:
        return [parts.reader("", pipeline_readers.flux)]

    def load_encoders(self) -> dict[str, TextEncoder]:
        from transformers import T5EncoderModel

        t5 = self.parts.text_encoder(T5EncoderModel, "", pipeline_readers.flux, masked=True)
        return {"t5xxl": t5}

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        encoded = self.encoders["t5xxl"](prompts, rows_of(words, "t5xxl"))
        places = torch.arange(encoded.mask.shape[1], device=encoded.mask.device)
        read = places <= encoded.mask.sum(1, keepdim=True)
        return Condition(encoded.text(encoded.part("last_hidden_state")), mask=read.to(self.dtype))

    def conditions(self, condition: Condition, tokens: int) -> dict[str, Any]:
        assert condition.mask is not None
        self._mask = torch.nn.functional.pad(condition.mask, (0, tokens), value=1)
        return {"attention_mask": self._mask}

    def checkpointing(self) -> tuple[Callable[..., Any]]:
        """diffusers leaves out the mask where it computes the second kind of blocks again."""

        def again(block: Any, *inputs: Any) -> Any:
            if any(block is one for one in self.denoiser.single_transformer_blocks):
                block = partial(block, attention_mask=self._mask)
            return checkpoint(block, *inputs, use_reentrant=False)

        return (again,)
