"""Tokenizers that read a prompt as one sequence: T5's, and those of language models.

The ids of a prompt without new words are those that diffusers' pipeline makes of it: the same text
goes to the tokenizer at once, after the pipeline's own changes to it. A new word is found before
those changes, so that it may have capital letters, and a template cannot touch it. Its rows are in
the place of a word of the vocabulary, which the space before it belongs to.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pseudoword.errors import BaseModelError, PromptError
from pseudoword.models.reading.prompt_reader import Found, PromptReader, Token, ids_of
from pseudoword.models.reading.prompts import (
    ChunkedPrompts,
    Positions,
    Prompts,
    Tokenized,
    rows_by_name,
)
from pseudoword.placeholders import as_written, split

Template = Callable[[str], str]
"""What a pipeline makes of a prompt before it goes to the tokenizer."""

Apart = Callable[[str], Iterable[str]]
"""Cuts what a template made of a prompt into the texts that the tokenizer gets one by one."""

WORD = "\U00010000"
"""Stands for a word before the text that follows one: a letter that no tokenizer joins with others.

So `, red` behind a word is read as in `cat, red`, without the space that T5 would add."""

_MARKS = range(0xE100, 0xF8FF)
"""Private-use characters: what stands for a word while the text is changed."""


def as_it_is(prompt: str) -> str:
    """The template of a model that has none."""
    return prompt


def at_once(text: str) -> list[str]:
    """Nothing is read apart."""
    return [text]


class SequenceReader(PromptReader):
    """A tokenizer of one sequence, whose text may have a template around it."""

    def __init__(
        self,
        tokenizer: Any,
        length: int,
        template: Template = as_it_is,
        *,
        apart: Apart = at_once,
        behind: str = "",
        used: Positions | None = None,
        counts_padding: bool = True,
        pads_to_longest: bool = False,
        special_tokens: bool = True,
    ) -> None:
        """A reader that cuts sequences at `length` tokens.

        Args:
            tokenizer: a fast one of transformers. Padding goes to its `padding_side`.
            length: the most tokens, with those of the template, and begin and end tokens.
            template: what is done to a prompt before.
            apart: the parts of what the template gives that are read as texts of their own.
            behind: what follows the text and its padding.
            used: the positions whose hidden states are the text; by default all.
            counts_padding: whether padding is counted in the positions of tokens.
            pads_to_longest: pad only to the longest sequence of those read at once.
            special_tokens: whether the tokenizer's begin and end tokens go around the text; False
                if the template writes them.

        Raises:
            BaseModelError: the tokenizer tells no positions or has no padding, or the template
                leaves no room for a prompt.
        """
        if not tokenizer.is_fast or tokenizer.pad_token_id is None:
            raise BaseModelError(
                f"a {type(tokenizer).__name__} tells no positions of tokens, or has no token for "
                "padding. Save it as a tokenizer.json with a pad_token."
            )
        begin, end = _special_ids(tokenizer) if special_tokens else ([], [])
        super().__init__(tokenizer, length, begin, [*end, *ids_of(tokenizer, behind)])
        self.used = used
        self._template, self._apart = template, apart
        self.counts_padding = counts_padding
        self._pads_inside = bool(behind)
        self.pads_to_longest = pads_to_longest
        mark = chr(_MARKS[0])
        before, found, self._after = template(mark).partition(mark)
        self._begin = len(before)
        texts = apart(before.removesuffix(" "))
        self._before = sum(len(list(self._tokens(text))) for text in texts)
        if not found or self.max_tokens < 1:
            raise BaseModelError(
                f"a text encoder reads {length} tokens, and its template leaves no room for a "
                "prompt in them"
            )

    @property
    def max_tokens(self) -> int:
        """The most tokens of a prompt, without those of the template before it."""
        return self._room - self._before

    def token_ids(self, text: str) -> list[int]:
        """The ids of `text` inside a prompt, where a space is before it."""
        before = [token.id for token in self._tokens(WORD)]
        ids = [token.id for token in self._tokens(f"{WORD} {text.strip()}")]
        return ids[len(before) :] if text.strip() else []

    def tokenize(self, prompts: Prompts, counts: Mapping[str, int]) -> Tokenized:
        """The token ids of `B` prompts, `[B, L]`.

        Raises:
            PromptError: a placeholder would be cut off, or does not survive the template; or the
                prompts have chunks and weights.
        """
        if isinstance(prompts, ChunkedPrompts):
            raise PromptError("this text encoder reads no weights, and no prompts in chunks")
        found = [self.sequence(prompt, counts) for prompt in prompts]
        longest = max(len(ids) for ids, _ in found)
        return self.padded(found, longest if self.pads_to_longest else self.length)

    def _before_padding(self, count: int) -> int:
        if self._pads_inside:
            return count - len(self.end)
        return 0 if self.tokenizer.padding_side == "left" else count

    def find(self, prompt: str, counts: Mapping[str, int]) -> Found:
        """All tokens of a prompt in its template."""
        rows = rows_by_name(counts)
        pieces = split(prompt, rows)
        names = pieces[1::2]
        mark = next(m for m in map(chr, _MARKS) if m not in prompt)
        marked = "".join(mark if i % 2 else as_written(p) for i, p in enumerate(pieces))
        whole = self._template(marked)
        if whole.count(mark) != len(names):
            raise PromptError(
                f"a new word is lost in the template of the text encoder: {as_written(prompt)!r}"
            )
        tokens: list[Token] = []
        text, left = "", iter(names)
        for part in self._apart(whole):
            pieces = part.split(mark)
            for i, piece in enumerate(pieces):
                if i:
                    name = next(left)
                    tokens += [Token(-1, row, len(text)) for row in rows[name]]
                    text += as_written(name)
                own = piece.removesuffix(" ") if i < len(pieces) - 1 else piece
                tokens += self._tokens(own, len(text), behind_word=i > 0)
                text += piece
        return Found(tokens, text, self._begin, len(text) - len(self._after))

    def _tokens(self, text: str, at: int = 0, *, behind_word: bool = False) -> Iterator[Token]:
        """The tokens of `text`, which begins at the character `at` of all."""
        if not text:
            return
        shift = len(WORD) if behind_word else 0
        encoded = self.tokenizer(
            WORD * behind_word + text,
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        found = list(zip(encoded.input_ids, encoded.offset_mapping, strict=True))
        if any(begin < shift < end for _, (begin, end) in found):  # it is joined with the text
            yield from self._tokens(text, at)
            return
        for id_, (begin, end) in found:
            if end > shift or not behind_word:
                written = text[begin - shift : end - shift]
                spaces = len(written) - len(written.lstrip()) if written.strip() else 0
                yield Token(id_, -1, at + begin - shift + spaces)


def _special_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The ids that a tokenizer puts before and behind a text."""
    bare = ids_of(tokenizer, "a")
    whole = tokenizer("a", add_special_tokens=True, verbose=False).input_ids
    at = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return whole[:at], whole[at + len(bare) :]
