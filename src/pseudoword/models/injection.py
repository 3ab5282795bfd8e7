"""Put a word's vectors into a frozen text encoder, and leave no trace.

A placeholder is found in the prompt as *text*, stands in the token sequence as filler ids, and its
embedding rows are overwritten after the table lookup. The vocabulary is never resized, so no token
can clash with it. The idea of a parameter beside the table is also that of refiners' concept
extender.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pseudoword.errors import PromptError
from pseudoword.formats.keys import of_layer
from pseudoword.placeholders import as_written
from pseudoword.placeholders import split as split

_SHOWN = 200
"""Characters of a prompt that an error shows."""

Vectors = Mapping[str, Tensor]
"""One word's rows: the key of a text encoder, or of one layer of the denoiser behind it
(`clip_l.IN01`) -> [n, width]."""

Words = Mapping[str, Vectors]
"""Placeholder as it stands in prompts -> its rows."""


def rows_of(words: Words, key: str, layers: Sequence[str] = ()) -> Mapping[str, Tensor]:
    """The rows of each word for the text encoder `key`, `[n, width]`.

    With `layers`, those for each of them, `[layers, n, width]`; a word that is not layered has the
    same for all.
    """
    if not layers:
        return {placeholder: vectors[key] for placeholder, vectors in words.items()}
    return {
        placeholder: torch.stack([of_layer(vectors, key, layer) for layer in layers])
        for placeholder, vectors in words.items()
    }


@dataclass(frozen=True)
class Tokenized:
    """A batch of prompts as a text encoder reads them."""

    ids: Tensor
    """[B, L] int64"""
    slots: Tensor
    """[B, L] int64: the row that overwrites this position, or -1"""


@dataclass(frozen=True)
class Reading:
    """How much of a prompt a text encoder reads."""

    tokens: int
    """of the whole prompt, without begin and end marks"""
    room: int
    """tokens that are read at most"""
    lost: str
    """the end of the prompt, which is not read"""


class Reader:
    """A tokenizer, and how many tokens at a time the encoder behind it reads."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        self.tokenizer = tokenizer
        self.length = length

    @property
    def room(self) -> int:
        """Tokens that a prompt may have: all but the marks of begin and end."""
        return self.length - 2

    def reading(self, prompt: str, counts: Mapping[str, int]) -> Reading:
        """How much of `prompt` is read, in which placeholders take `counts` tokens each.

        Raises:
            PromptError: a placeholder would be cut off.
        """
        line, text = _line(self.tokenizer, prompt, counts)
        _check_room(line, text, self.room)
        lost = text[line[self.room].at :] if len(line) > self.room else ""
        return Reading(len(line), self.room, lost.strip())


def tokenize(
    tokenizer: Any, prompts: Sequence[str], counts: Mapping[str, int], length: int
) -> Tokenized:
    """Tokenise `prompts` to `[B, length]` with `counts[placeholder]` positions per placeholder.

    Rows are numbered in the order of `counts`, so that they can be concatenated in that order.

    Raises:
        PromptError: a prompt is so long that a placeholder would be cut off.
    """
    filler = _filler(tokenizer)
    ids = torch.full((len(prompts), length), tokenizer.pad_token_id)
    slots = torch.full((len(prompts), length), -1)
    room = length - 2
    for b, prompt in enumerate(prompts):
        line, text = _line(tokenizer, prompt, counts)
        _check_room(line, text, room)
        read = [filler if one.row >= 0 else one.id for one in line[:room]]
        read = [tokenizer.bos_token_id, *read, tokenizer.eos_token_id]
        rows = [one.row for one in line[:room]]
        ids[b, : len(read)] = torch.tensor(read)
        slots[b, 1 : 1 + len(rows)] = torch.tensor(rows, dtype=torch.int64)
    return Tokenized(ids, slots)


class _Token(NamedTuple):
    """One of a prompt's tokens."""

    id: int
    """in the vocabulary; -1: of a placeholder"""
    row: int
    """of all placeholders' rows; -1: a plain token"""
    at: int
    """where it stands in the prompt"""


def _line(tokenizer: Any, prompt: str, counts: Mapping[str, int]) -> tuple[list[_Token], str]:
    """All tokens of a prompt, and the prompt as it is shown."""
    names = [unicodedata.normalize("NFC", placeholder) for placeholder in counts]
    numbers = dict(zip(names, counts.values(), strict=True))
    first_row = dict(zip(names, accumulate(counts.values(), initial=0), strict=False))
    line: list[_Token] = []
    text = ""
    for i, piece in enumerate(split(prompt, names)):
        if i % 2:
            rows = range(first_row[piece], first_row[piece] + numbers[piece])
            line += [_Token(-1, row, len(text)) for row in rows]
        elif piece.strip():
            found = tokenizer(
                piece, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            places = [len(text) + begin for begin, _ in found.offset_mapping]
            line += [_Token(*one) for one in zip(found.input_ids, repeat(-1), places, strict=False)]
        text += as_written(piece)
    return line, text


def _check_room(line: Sequence[_Token], text: str, room: int) -> None:
    beyond = next((one for one in line[room:] if one.row >= 0), None)
    if beyond is None:
        return
    rows = sum(one.row >= 0 for one in line)
    if rows > room:
        raise PromptError(
            f"{rows} vectors do not fit: the model reads {room} tokens of a prompt. Use fewer or "
            "shorter new words in it."
        )
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    raise PromptError(
        f"the prompt has {len(line)} tokens, the model reads {room}, and a new word in it would be "
        f"cut off: {text!r}. Shorten the prompt, or move the word forward."
    )


def _filler(tokenizer: Any) -> int:
    """An ordinary id: never the end-of-text id, at which CLIP reads its pooled state."""
    special = set(tokenizer.all_special_ids)
    return next(i for i in range(len(tokenizer)) if i not in special)


@contextmanager
def injected(embedding: nn.Module, rows: Tensor, slots: Tensor) -> Iterator[None]:
    """While open, `embedding` [B, L] -> [B, L, width] returns `rows` where `slots` is not -1.

    Args:
        embedding: the token embedding of a text encoder.
        rows: [R, width] in any dtype; gradients reach it.
        slots: [B, L] int64, as in `Tokenized`.
    """
    taken = slots >= 0

    def overwrite(_module: nn.Module, _args: object, looked_up: Tensor) -> Tensor:
        chosen = rows.to(looked_up)[slots.clamp(min=0)]
        return torch.where(taken.unsqueeze(-1), chosen, looked_up)

    handle = embedding.register_forward_hook(overwrite)
    try:
        yield
    finally:
        handle.remove()
