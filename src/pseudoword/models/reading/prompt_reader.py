"""How a text encoder's tokenizer reads prompts: what the readers of all text encoders share.

A placeholder is found in the prompt as *text*, before anything else is done with it. Its positions
in the token sequence get a filler id, and the rows replace the embeddings there after the table
lookup (see `lookup_site`). The vocabulary is never resized, so no token can clash with it.
refiners' concept extender also keeps the rows outside the table.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch

from pseudoword.errors import PromptError
from pseudoword.models.reading.prompts import Positions, PromptReading, Prompts, Tokenized

_LONGEST_SHOWN = 200
"""Characters of a prompt that an error shows."""


class Token(NamedTuple):
    """One token of a prompt."""

    id: int
    """in the vocabulary; -1 for a placeholder"""
    row: int
    """among the rows of all placeholders; -1 for an ordinary token"""
    position: int
    """the character of the text where it begins, after a space before it"""


@dataclass(frozen=True)
class Found:
    """All tokens of one prompt, and the text that they are of."""

    tokens: Sequence[Token]
    """without begin and end tokens"""
    text: str
    begin: int
    """the character of `text` where the user's prompt begins, behind that of a template"""
    end: int
    """the character of `text` where the user's prompt ends"""


class PromptReader(ABC):
    """A tokenizer, and how many tokens its text encoder reads."""

    used: Positions | None = None
    """the positions whose hidden states are the text, if others are a template's"""
    pads_to_longest = False
    """whether prompts are padded to the longest of those read at once, not to `length`"""
    counts_padding = True
    """whether padding before or between tokens is counted in their positions"""

    def __init__(
        self, tokenizer: Any, length: int, begin: Sequence[int], end: Sequence[int]
    ) -> None:
        """A reader of `length` tokens, of which `begin` and `end` are the first and last ones."""
        self.tokenizer = tokenizer
        self.length = length
        self.begin, self.end = begin, end

    @abstractmethod
    def find(self, prompt: str, counts: Mapping[str, int]) -> Found:
        """All tokens of `prompt`, with `counts[placeholder]` tokens for each placeholder.

        Raises:
            PromptError: it cannot be read.
        """

    @abstractmethod
    def tokenize(self, prompts: Prompts, counts: Mapping[str, int]) -> Tokenized:
        """The token ids of `B` prompts, with `counts[placeholder]` positions for each placeholder.

        Raises:
            PromptError: a placeholder would be cut off, or a prompt cannot be read.
        """

    @property
    def max_tokens(self) -> int:
        """The most tokens of a prompt, without the begin and the end token."""
        return self._room

    @property
    def _room(self) -> int:
        return self.length - len(self.begin) - len(self.end)

    def token_ids(self, text: str) -> list[int]:
        """The ids of `text`, without begin and end tokens."""
        return ids_of(self.tokenizer, text)

    @cached_property
    def filler(self) -> int:
        """The id at positions where rows go in.

        An ordinary one, not that of the end token, where CLIP reads its pooled state.
        """
        special = set(self.tokenizer.all_special_ids)
        return next(i for i in range(len(self.tokenizer)) if i not in special)

    @cached_property
    def comma(self) -> int | None:
        """CLIP's id of a comma; None if it has none. A vocabulary takes 20 ms to be asked for."""
        found: int | None = self.tokenizer.get_vocab().get(",</w>")
        return found

    def reading(self, prompt: str, counts: Mapping[str, int]) -> PromptReading:
        """How much of `prompt` is read, if each placeholder has `counts[placeholder]` tokens.

        Raises:
            PromptError: a placeholder would be cut off.
        """
        return self._reading(self.find(prompt, counts))

    def sequence(self, prompt: str, counts: Mapping[str, int]) -> tuple[list[int], list[int]]:
        """Ids and slots of what is read of one prompt, with begin and end tokens.

        Raises:
            PromptError: a placeholder would be cut off.
        """
        found = self.find(prompt, counts)
        self._reading(found)
        read = found.tokens[: self._room]
        ids = [self.filler if token.row >= 0 else token.id for token in read]
        slots = [token.row for token in read]
        no_slots = [-1] * len(self.begin), [-1] * len(self.end)
        return [*self.begin, *ids, *self.end], [*no_slots[0], *slots, *no_slots[1]]

    def padded(self, sequences: Sequence[tuple[list[int], list[int]]], length: int) -> Tokenized:
        """Ids and slots of `B` prompts, filled up to `[B, length]`."""

        def filled(numbers: list[int], padding: int) -> list[int]:
            at = self._before_padding(len(numbers))
            return [*numbers[:at], *[padding] * (length - len(numbers)), *numbers[at:]]

        pad = self.tokenizer.pad_token_id
        parts = (
            [filled(ids, pad) for ids, _ in sequences],
            [filled(slots, -1) for _, slots in sequences],
            # not where the ids are other ones: mostly, CLIP's end token is the padding too
            [filled([1] * len(ids), 0) for ids, _ in sequences],
        )
        return Tokenized(*(torch.tensor(part, dtype=torch.int64) for part in parts))

    def _before_padding(self, count: int) -> int:
        """How many of the `count` tokens of a prompt are before its padding."""
        return count

    def _reading(self, found: Found) -> PromptReading:
        before = sum(token.position < found.begin for token in found.tokens)
        own = [token for token in found.tokens[before:] if token.position < found.end]
        max_tokens = self._room - before
        _check_not_cut_off(own, found.text[found.begin : found.end], max_tokens)
        cut_off = own[max_tokens].position if len(own) > max_tokens else found.end
        return PromptReading(len(own), max_tokens, found.text[cut_off : found.end].strip())


def ids_of(tokenizer: Any, text: str) -> list[int]:
    """The ids of `text`, as a tokenizer has them without begin and end tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    return ids


Reads = Callable[[Any], PromptReader]
"""Makes a reader of a tokenizer."""


def _check_not_cut_off(tokens: Sequence[Token], text: str, max_tokens: int) -> None:
    if all(token.row < 0 for token in tokens[max_tokens:]):
        return
    rows = sum(token.row >= 0 for token in tokens)
    if rows > max_tokens:
        raise PromptError(
            f"{rows} vectors do not fit: the model reads {max_tokens} tokens of a prompt. Use "
            "fewer or shorter new words in it."
        )
    text = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    raise PromptError(
        f"the prompt has {len(tokens)} tokens, the model reads {max_tokens}, and a new word in it "
        f"would be cut off: {text!r}. Shorten the prompt, or move the word forward."
    )
