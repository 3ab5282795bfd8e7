"""Put a word's vectors into a frozen text encoder, and leave no trace.

A placeholder is found in the prompt as *text*, stands in the token sequence as filler ids, and its
embedding rows are overwritten after the table lookup. The vocabulary is never resized, so no token
can clash with it. The idea of a parameter beside the table is also that of refiners' concept
extender.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from pseudoword.errors import PromptError

Vectors = Mapping[str, Tensor]
"""One word's rows per text encoder: encoder key -> [n, width]."""

Words = Mapping[str, Vectors]
"""Placeholder as it stands in prompts -> its rows."""


def rows_of(words: Words, key: str) -> Mapping[str, Tensor]:
    """The rows of each word for the text encoder `key`."""
    return {placeholder: vectors[key] for placeholder, vectors in words.items()}


@dataclass(frozen=True)
class Tokenized:
    """A batch of prompts as a text encoder reads them."""

    ids: Tensor
    """[B, L] int64"""
    slots: Tensor
    """[B, L] int64: the row that overwrites this position, or -1"""


def split(prompt: str, placeholders: Sequence[str]) -> list[str]:
    """Cut `prompt` so that every placeholder is a piece of its own.

    The longest placeholder wins where several fit, and one that begins or ends with a letter is
    not found inside a longer word.
    """
    if not placeholders:
        return [prompt]
    longest_first = sorted(placeholders, key=len, reverse=True)
    return re.split(f"({'|'.join(map(_pattern, longest_first))})", prompt)


def _pattern(placeholder: str) -> str:
    before = r"(?<!\w)" if re.match(r"\w", placeholder[0]) else ""
    after = r"(?!\w)" if re.match(r"\w", placeholder[-1]) else ""
    return before + re.escape(placeholder) + after


def tokenize(
    tokenizer: Any, prompts: Sequence[str], counts: Mapping[str, int], length: int
) -> Tokenized:
    """Tokenise `prompts` to `[B, length]` with `counts[placeholder]` positions per placeholder.

    Rows are numbered in the order of `counts`, so that they can be concatenated in that order.

    Raises:
        PromptError: a prompt is so long that a placeholder would be cut off.
    """
    first_row = dict(zip(counts, accumulate(counts.values(), initial=0), strict=False))
    filler = _filler(tokenizer)
    ids = torch.full((len(prompts), length), tokenizer.pad_token_id)
    slots = torch.full((len(prompts), length), -1)
    for b, prompt in enumerate(prompts):
        row_ids: list[int] = []
        row_slots: list[int] = []
        for piece in split(prompt, list(counts)):
            if piece in counts:
                n = counts[piece]
                row_ids += [filler] * n
                row_slots += range(first_row[piece], first_row[piece] + n)
            elif piece.strip():
                piece_ids = tokenizer(piece, add_special_tokens=False, verbose=False).input_ids
                row_ids += piece_ids
                row_slots += [-1] * len(piece_ids)
        room = length - 2
        if any(slot >= 0 for slot in row_slots[room:]):
            raise PromptError(
                f"the prompt has {len(row_ids)} tokens, the model reads {room}, and the "
                f"placeholder would be cut off: {prompt!r}. Shorten the prompt or move the "
                "placeholder forward."
            )
        row_ids, row_slots = row_ids[:room], row_slots[:room]
        row_ids = [tokenizer.bos_token_id, *row_ids, tokenizer.eos_token_id]
        ids[b, : len(row_ids)] = torch.tensor(row_ids)
        slots[b, 1 : 1 + len(row_slots)] = torch.tensor(row_slots, dtype=torch.int64)
    return Tokenized(ids, slots)


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
