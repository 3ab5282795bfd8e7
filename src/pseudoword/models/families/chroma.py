"""Chroma: a relative of FLUX.1 that reads only T5, and is guided by a negative prompt.

Conditioning is as in diffusers' ChromaPipeline, which draws the pictures: T5 is told which tokens
are padding, and the transformer reads the first one of these as the end of the text.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pseudoword.models.families.packed import PackedFamily
from pseudoword.models.family import Condition
from pseudoword.models.loading.encoder_part import EncoderPart
from pseudoword.models.reading.injection import Words
from pseudoword.models.reading.pipeline_readers import cut_as_in
from pseudoword.models.reading.prompts import Prompts


class Chroma(PackedFamily):
    """A Chroma-style model; a concept has rows for T5."""

    name = "chroma"
    pipelines = ("ChromaPipeline",)
    kind = "ChromaTransformer2DModel"
    graphable = False
    usual_guidance = 5.0
    text_encoders = (
        EncoderPart("t5xxl", "T5EncoderModel", reads=cut_as_in("ChromaPipeline"), masked=True),
    )
    _mask: Tensor
    """of the prediction that is being made"""

    def encode_text(self, prompts: Prompts, words: Words) -> Condition:
        condition = super().encode_text(prompts, words)
        assert condition.mask is not None
        places = torch.arange(condition.mask.shape[1], device=condition.mask.device)
        read = places <= condition.mask.sum(1, keepdim=True)
        return replace(condition, mask=read.to(self.dtype))

    def conditions(self, condition: Condition, tokens: int) -> dict[str, Any]:
        assert condition.mask is not None
        self._mask = torch.nn.functional.pad(condition.mask, (0, tokens), value=1)
        return {"attention_mask": self._mask}

    def checkpointing(self) -> tuple[Callable[..., Any]]:
        """diffusers leaves out the mask where it computes the second kind of blocks again."""

        of_family = ref(self)  # or the model, which has this function, would not leave memory

        def again(block: Any, *inputs: Any) -> Any:
            family = of_family()
            assert family is not None
            if any(block is one for one in family.denoiser.single_transformer_blocks):
                block = partial(block, attention_mask=family._mask)
            return checkpoint(block, *inputs, use_reentrant=False)

        return (again,)
