"""What a family says of each of its text encoders, so that they are loaded and read in one way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pseudoword.formats.keys import WIDTHS
from pseudoword.models.reading.prompt_reader import Reads

Take = Callable[[Any], Any]
"""Gives what is needed of a model that was just loaded; the rest is freed."""


def whole(model: Any) -> Any:
    """Everything is needed."""
    return model


@dataclass(frozen=True)
class EncoderPart:
    """A text encoder in diffusers' layout, and how the model's pipeline uses it."""

    key: str
    """ComfyUI's key, which the rows for it have"""
    kind: str
    """its class in transformers"""
    suffix: str = ""
    """what the names of its folder and its tokenizer's end in"""
    reads: Reads | None = None
    """makes a reader of its tokenizer; None: it is a CLIP"""
    reads_negative: Reads | None = None
    """makes a reader of negative prompts, if they are read in another way"""
    masked: bool = False
    """whether it is told which tokens are padding; a CLIP's config says so"""
    take: Take = whole
    """gives what is needed of the model"""
    optional: bool = False
    """whether others of the family lack it"""
    other_keys: Sequence[str] = ()
    """keys of encoders of another width that a model of the family may have in its place"""

    @property
    def folder(self) -> str:
        """Its name in diffusers' layout."""
        return f"text_encoder{self.suffix}"

    def key_of(self, width: int) -> str:
        """The key of this encoder, if its rows have `width` numbers."""
        return next((key for key in self.other_keys if WIDTHS[key] == width), self.key)
