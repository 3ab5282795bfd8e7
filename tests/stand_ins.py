"""A new word as words of the vocabulary whose rows are overwritten: how diffusers can read it.

It works with every pipeline and tokenizer, and shares no code with how the product reads words.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

WORDS = ("toy", "animal", "painting")
"""Each is one token of the tiny tokenizers, and in no template."""


def spelled(prompt: str, n: int) -> str:
    """`prompt` with `<cat>`, of n rows, written as words of the vocabulary."""
    return prompt.replace("<cat>", " ".join(WORDS[:n]))


def overwrite(pipeline: Any, vectors: Mapping[str, Tensor]) -> None:
    """Put the rows of each text encoder into its vocabulary, in the place of `WORDS`."""
    for suffix, rows in zip(("", "_2", "_3"), vectors.values(), strict=False):
        tokenizer = getattr(pipeline, f"tokenizer{suffix}")
        text = getattr(pipeline, f"text_encoder{suffix}")
        for word, row in zip(WORDS, rows.detach(), strict=False):
            spoken, plain = (
                tokenizer(t, add_special_tokens=False).input_ids for t in (f"a {word}", "a")
            )
            assert len(spoken) == len(plain) + 1
            text.get_input_embeddings().weight.data[spoken[-1]] = row
