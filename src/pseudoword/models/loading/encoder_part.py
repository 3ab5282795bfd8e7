"""What a family says of each of its text encoders, so that they are loaded and read in one way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pseudoword.errors import SettingsError
from pseudoword.formats.keys import WIDTHS
from pseudoword.models.reading.prompt_reader import Reads

Take = Callable[[Any], Any]
"""Gives what is needed of a model that was just loaded; the rest is freed."""


def whole(model: Any) -> Any:
    """Everything is needed."""
    return model


def without_last_layers(count: int, model: Any) -> Any:
    """A CLIP that gives the states before its last `count` layers, with the final norm applied.

    As "clip skip" in AUTOMATIC1111 and kohya's scripts, which call it 2 if one is left out.

    Args:
        count: at least 1.
        model: of transformers; it is changed.

    Raises:
        SettingsError: it has no more layers than that.
    """
    layers = model.encoder.layers
    if count >= len(layers):
        raise SettingsError(
            f"--clip-skip {count + 1} is too much for a text encoder of {len(layers)} layers."
        )
    model.encoder.layers = layers[:-count]
    model.config.num_hidden_layers = len(model.encoder.layers)
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
    """makes one of the same tokenizer for negative prompts, if they are read in another way"""
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

    @property
    def tokenizer(self) -> str:
        """Its tokenizer's name there."""
        return f"tokenizer{self.suffix}"

    def key_of(self, width: int) -> str:
        """The key of this encoder, if its rows have `width` numbers."""
        return next((key for key in self.other_keys if WIDTHS[key] == width), self.key)
