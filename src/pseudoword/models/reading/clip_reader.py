"""CLIP's tokenizers: a begin token, up to 75 tokens, an end token, and padding to 77.

Prompts to draw may have weights and any length: they are read in chunks (see `chunks`).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pseudoword.errors import BaseModelError
from pseudoword.models.reading.chunks import tokenize_chunks
from pseudoword.models.reading.prompt_reader import Found, PromptReader, Token
from pseudoword.models.reading.prompts import ChunkedPrompts, Prompts, Tokenized, rows_by_name
from pseudoword.placeholders import as_written, split

REMEMBERED = 4096
"""Prompts, and texts between new words, whose tokens are kept: those of a run come back in its
steps and evaluations, its texts also with other numbers of rows."""

LEAST_TOKENS = 3
"""The begin token, the end token and one more."""


class ClipReader(PromptReader):
    """A CLIP tokenizer, and how many tokens its text encoder reads at once."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        super().__init__(tokenizer, length, [tokenizer.bos_token_id], [tokenizer.eos_token_id])
        self._sequence = lru_cache(REMEMBERED)(
            lambda prompt, counts: self.sequence(prompt, dict(counts))
        )
        self._tokens = lru_cache(REMEMBERED)(self._find_tokens)

    def tokenize(self, prompts: Prompts, counts: Mapping[str, int]) -> Tokenized:
        """The token ids of `B` prompts, `[B, length]`, or of n chunks each, `[B·n, length]`.

        All chunks of the first prompt come first.

        Raises:
            PromptError: a placeholder would be cut off, or is longer than a chunk.
        """
        if isinstance(prompts, ChunkedPrompts):
            return tokenize_chunks(self, prompts, counts)
        known = tuple(counts.items())
        return self.padded([self._sequence(prompt, known) for prompt in prompts], self.length)

    def find(self, prompt: str, counts: Mapping[str, int]) -> Found:
        """All tokens of a prompt, and the prompt as the user wrote it."""
        rows = rows_by_name(counts)
        tokens: list[Token] = []
        text = ""
        for i, piece in enumerate(split(prompt, rows)):
            if i % 2:
                tokens += [Token(-1, row, len(text)) for row in rows[piece]]
            elif piece.strip():
                tokens += [Token(id_, -1, len(text) + begin) for id_, begin in self._tokens(piece)]
            text += as_written(piece)
        return Found(tokens, text, 0, len(text))

    def _find_tokens(self, text: str) -> list[tuple[int, int]]:
        """The tokens of a text without new words: the id, and the character where it begins."""
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        begins = [begin for begin, _ in encoded.offset_mapping]
        return list(zip(encoded.input_ids, begins, strict=True))


def prompt_length(tokenizer: Any, config: Any) -> int:
    """How many tokens a CLIP text encoder reads, with the begin and the end token.

    Raises:
        BaseModelError: a config holds no number, or too small a one.
    """
    limits = {
        "model_max_length": tokenizer.model_max_length,
        "max_position_embeddings": config.max_position_embeddings,
    }
    for name, value in limits.items():
        if not isinstance(value, int | float) or not value >= LEAST_TOKENS:
            raise BaseModelError(
                f"a text encoder's {name} is {value!r:.60}, but should be a number from "
                f"{LEAST_TOKENS} on; 77 is usual"
            )
    return int(min(limits.values()))
