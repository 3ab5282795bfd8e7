"""Put a concept's rows into a frozen text encoder, and leave no trace.

A placeholder is found in the prompt as *text*. Its positions in the token sequence get a filler id,
and the rows replace the embeddings there after the table lookup (see `lookup_site`). The vocabulary
is never resized, so no token can clash with it. refiners' concept extender also keeps the rows
outside the table.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pseudoword.errors import PromptError
from pseudoword.formats.keys import base_encoder, of_layer
from pseudoword.placeholders import as_written, split

_LONGEST_SHOWN = 200
"""Characters of a prompt that an error shows."""

Vectors = Mapping[str, Tensor]
"""One concept's rows: key of a text encoder, or of one layer of the denoiser (`clip_l.IN01`)
-> `[n, width]`."""

Words = Mapping[str, Vectors]
"""Placeholder as written in prompts -> its rows."""


def rows_of(words: Words, key: str, layers: Sequence[str] = ()) -> Mapping[str, Tensor]:
    """The rows of each word for the text encoder `key`, `[n, width]`.

    With `layers`, the rows for each layer, `[layers, n, width]`; a word that is not layered has the
    same rows for all.
    """
    if not layers:
        return {placeholder: vectors[key] for placeholder, vectors in words.items()}
    return {
        placeholder: torch.stack([of_layer(vectors, key, layer) for layer in layers])
        for placeholder, vectors in words.items()
    }


def row_counts(words: Words, key: str) -> dict[str, int]:
    """How many tokens each word takes in the text encoder `key`."""
    return {
        placeholder: max(len(rows) for name, rows in vectors.items() if base_encoder(name) == key)
        for placeholder, vectors in words.items()
    }


@dataclass(frozen=True)
class Tokenized:
    """A batch of prompts as token ids."""

    ids: Tensor
    """[B, L] int64"""
    slots: Tensor
    """[B, L] int64: the row that replaces the embedding at this position, or -1"""
    weights: Tensor | None = None
    """[B, L] float: how much each position counts; None where all count the same"""


@dataclass(frozen=True)
class PromptReading:
    """How much of a prompt a text encoder reads."""

    tokens: int
    """tokens of the whole prompt, without begin and end tokens"""
    max_tokens: int
    """the most tokens that are read"""
    cut_off: str
    """the end of the prompt, which is not read; usually empty"""


class PromptReader:
    """A tokenizer, and how many tokens its text encoder reads."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        self.tokenizer = tokenizer
        self.length = length

    @property
    def max_tokens(self) -> int:
        """The most tokens of a prompt: all but the begin and the end token."""
        return self.length - 2

    def reading(self, prompt: str, counts: Mapping[str, int]) -> PromptReading:
        """How much of `prompt` is read, if each placeholder has `counts[placeholder]` tokens.

        Raises:
            PromptError: a placeholder would be cut off.
        """
        tokens, text = _tokens_of(self.tokenizer, prompt, counts)
        _check_not_cut_off(tokens, text, self.max_tokens)
        cut_off = text[tokens[self.max_tokens].position :] if len(tokens) > self.max_tokens else ""
        return PromptReading(len(tokens), self.max_tokens, cut_off.strip())


def tokenize(
    tokenizer: Any, prompts: Sequence[str], counts: Mapping[str, int], length: int
) -> Tokenized:
    """Tokenise `prompts` to `[B, length]`, with `counts[placeholder]` positions per placeholder.

    `slots` number the rows of all placeholders, concatenated in the order of `counts`.

    Raises:
        PromptError: a placeholder would be cut off.
    """
    filler = filler_id(tokenizer)
    ids = torch.full((len(prompts), length), tokenizer.pad_token_id)
    slots = torch.full((len(prompts), length), -1)
    max_tokens = length - 2
    for b, prompt in enumerate(prompts):
        tokens, text = _tokens_of(tokenizer, prompt, counts)
        _check_not_cut_off(tokens, text, max_tokens)
        read = [filler if token.row >= 0 else token.id for token in tokens[:max_tokens]]
        read = [tokenizer.bos_token_id, *read, tokenizer.eos_token_id]
        rows = [token.row for token in tokens[:max_tokens]]
        ids[b, : len(read)] = torch.tensor(read)
        slots[b, 1 : 1 + len(rows)] = torch.tensor(rows, dtype=torch.int64)
    return Tokenized(ids, slots)


class _Token(NamedTuple):
    """One token of a prompt."""

    id: int
    """in the vocabulary; -1 for a placeholder"""
    row: int
    """among the rows of all placeholders; -1 for an ordinary token"""
    position: int
    """the character of the prompt where it begins"""


def _tokens_of(tokenizer: Any, prompt: str, counts: Mapping[str, int]) -> tuple[list[_Token], str]:
    """All tokens of a prompt, and the prompt as the user wrote it."""
    names = [unicodedata.normalize("NFC", placeholder) for placeholder in counts]
    row_count = dict(zip(names, counts.values(), strict=True))
    first_row = dict(zip(names, accumulate(counts.values(), initial=0), strict=False))
    tokens: list[_Token] = []
    text = ""
    for i, piece in enumerate(split(prompt, names)):
        if i % 2:
            rows = range(first_row[piece], first_row[piece] + row_count[piece])
            tokens += [_Token(-1, row, len(text)) for row in rows]
        elif piece.strip():
            encoded = tokenizer(
                piece, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            tokens += [
                _Token(id_, -1, len(text) + begin)
                for id_, (begin, _) in zip(encoded.input_ids, encoded.offset_mapping, strict=True)
            ]
        text += as_written(piece)
    return tokens, text


def _check_not_cut_off(tokens: Sequence[_Token], text: str, max_tokens: int) -> None:
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


def filler_id(tokenizer: Any) -> int:
    """An ordinary id, not that of the end token, where CLIP reads its pooled state."""
    special = set(tokenizer.all_special_ids)
    return next(i for i in range(len(tokenizer)) if i not in special)
