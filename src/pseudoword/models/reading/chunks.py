"""Prompts to draw are read in chunks, as many as a text encoder needs to read all of them.

A chunk has as many tokens as the encoder reads at once (75 for CLIP). Where a prompt is cut is
AUTOMATIC1111's rule: at `BREAK`; behind the last comma, if it is among the last 20 tokens of a full
chunk; else where the chunk is full. A word's rows always stay together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import torch

from pseudoword.errors import PromptError
from pseudoword.models.reading.prompt_reader import PromptReader
from pseudoword.models.reading.prompts import ChunkedPrompts, Tokenized, rows_by_name
from pseudoword.prompt_weights import Prompt, Run

COMMA_REACH = 20
"""Tokens behind a comma that move to the next chunk rather than be parted from their like."""

MAX_WEIGHT = 1e6
"""Beyond it, 16 and 32 bits are not enough; AUTOMATIC1111's users give up to 2."""


class _Token(NamedTuple):
    id: int
    row: int
    """of all placeholders' rows; -1: a plain token"""
    weight: float


def count_chunks(reader: PromptReader, prompt: Prompt, counts: Mapping[str, int]) -> int:
    """How many chunks a text encoder needs for `prompt`.

    Args:
        reader: its tokenizer, and how much it reads at once.
        prompt: what it reads.
        counts: placeholder -> its number of rows.

    Raises:
        PromptError: a placeholder has more rows than a chunk, or a weight is too large.
    """
    return len(_chunks(reader, prompt, counts))


def tokenize_chunks(
    reader: PromptReader, prompts: ChunkedPrompts, counts: Mapping[str, int]
) -> Tokenized:
    """Tokenise B prompts of n chunks to `[B·n, L]`, all chunks of the first prompt first.

    Rows are numbered as in `prompts.rows_by_name`.

    Raises:
        PromptError: as in `count_chunks`.
    """
    chunks: list[list[_Token]] = []
    for prompt in prompts.prompts:
        own = _chunks(reader, prompt, counts)
        chunks += own + [[]] * (prompts.chunks - len(own))
    sequences = [
        (
            [*reader.begin, *(token.id for token in chunk), *reader.end],
            [-1, *(token.row for token in chunk), -1],
        )
        for chunk in chunks
    ]
    tokens = reader.padded(sequences, reader.length)
    if all(token.weight == 1 for chunk in chunks for token in chunk):
        return tokens
    weights = torch.ones(tokens.ids.shape, dtype=torch.float32)
    for own_weights, chunk in zip(weights, chunks, strict=True):
        own_weights[1 : 1 + len(chunk)] = torch.tensor([token.weight for token in chunk])
    return replace(tokens, weights=weights)


def _chunks(reader: PromptReader, prompt: Prompt, counts: Mapping[str, int]) -> list[list[_Token]]:
    """The tokens of each chunk of `prompt`; at least one chunk."""
    room = reader.max_tokens
    done: list[list[_Token]] = []
    for part in prompt.parts:
        chunk: list[_Token] = []
        behind_comma: int | None = None
        for unit in _units(reader, part, counts):
            is_comma = len(unit) == 1 and unit[0].id == reader.comma and unit[0].row < 0
            full = len(chunk) == room
            moves = full and behind_comma is not None and room - behind_comma < COMMA_REACH
            if moves and not is_comma:
                done.append(chunk[:behind_comma])
                chunk, behind_comma = chunk[behind_comma:], None
            if len(chunk) + len(unit) > room:
                done.append(chunk)
                chunk, behind_comma = [], None
            chunk += unit
            if is_comma:
                behind_comma = len(chunk)
        done.append(chunk)
    return done if done[-1] or len(done) == 1 else done[:-1]


def _units(
    reader: PromptReader, part: Iterable[Run], counts: Mapping[str, int]
) -> Iterable[list[_Token]]:
    """The units that are never cut: single tokens, and all rows of a word."""
    rows = rows_by_name(counts)
    room = reader.max_tokens
    for run in part:
        weight = _checked(run)
        if run.is_placeholder:
            if len(rows[run.text]) > room:
                raise PromptError(
                    f"{len(rows[run.text])} vectors do not fit: the model reads {room} tokens of a "
                    "prompt at a time. Use a shorter new word."
                )
            yield [_Token(reader.filler, row, weight) for row in rows[run.text]]
        elif run.text.strip():
            yield from ([_Token(id_, -1, weight)] for id_ in reader.token_ids(run.text))


def _checked(run: Run) -> float:
    """The weight of `run`, if it is one that a model can read."""
    if not abs(run.weight) <= MAX_WEIGHT:
        raise PromptError(
            f"the weight of {run.text.strip()[:60]!r} in the prompt is too large. Use a smaller "
            "number, or fewer brackets."
        )
    return run.weight
