"""Checks of prompts and captions: which part is too long to be read, and weights, which are not
supported."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pseudoword.data.captions import render
from pseudoword.errors import PromptError
from pseudoword.models.injection import PromptReader, PromptReading
from pseudoword.placeholders import delimited, replace_placeholder, split, undelimited

Note = Callable[[str], None]

MAX_SHOWN_CHARS = 60
"""Characters of a text that a note shows."""

WEIGHT = re.compile(
    r"""
    \( [^()\[\]]* : \s* [+-]?[\d.]+ \s* \)   # (word:1.2)
    | \(\( [^()]* \)\)                      # ((word))
    | \[ [^\[\]]+ \]                        # [word], [one:other:0.5]
    | \( [^()]+ \) (?: [+-]+ | [\d.]+ )     # (word)++ and (word)1.3
    | \w [+]{2,} | \w -{2,} (?!\w)          # word++
    | < \w+ : [^<>]+ : [\d.]+ >             # <lora:name:0.8>
    """,
    re.VERBOSE,
)
"""The syntax of weights in AUTOMATIC1111, ComfyUI, InvokeAI and compel."""

FIELDS = ("[name]", "[filewords]")
STAND_IN = "\ue002"
"""Stands for placeholders and fields, which may look like weights."""

PLACEHOLDER = delimited(0)
"""Stands for the new word in a template."""


def most_truncated(
    readers: Iterable[PromptReader], prompt: str, counts: Mapping[str, int]
) -> PromptReading:
    """Of all text encoders, what the one reads that cuts off most of `prompt`.

    Args:
        readers: the tokenizers.
        prompt: the text.
        counts: placeholder -> its number of tokens.

    Raises:
        PromptError: a placeholder would be cut off.
    """
    readings = [reader.reading(prompt, counts) for reader in readers]
    return max(readings, key=lambda reading: reading.tokens - reading.max_tokens)


def note_truncation(name: str, reading: PromptReading, note: Note) -> None:
    """Report a text that is cut off; `name` is the subject of the sentence."""
    if reading.cut_off:
        note(
            f"{name} has {reading.tokens} tokens, but only {reading.max_tokens} are read; "
            f"not read: {_short(reading.cut_off)!r}"
        )


def note_weights(texts: Iterable[str], note: Note, placeholders: Sequence[str] = ()) -> None:
    """Report the first text that seems to have weights: they are read as plain text."""
    for text in texts:
        if weight := _weight(text, placeholders):
            note(f"{_short(weight)} is plain text here: weights in prompts are not supported")
            return


def _weight(text: str, placeholders: Sequence[str]) -> str:
    """The first part of `text` that looks like a weight, or nothing.

    A placeholder may look like a weight itself, so placeholders are hidden during the search.
    """
    pieces = split(text.replace(STAND_IN, ""), [*placeholders, *FIELDS])
    hidden = "".join(STAND_IN if i % 2 else piece for i, piece in enumerate(pieces))
    match = WEIGHT.search(hidden)
    if match is None:
        return ""
    names = iter(pieces[1::2][hidden[: match.start()].count(STAND_IN) :])
    return undelimited(re.sub(STAND_IN, lambda _: next(names), match[0]))


def check_captions(
    readers: Sequence[PromptReader],
    captions: Mapping[Path, str],
    templates: Sequence[str],
    vectors: int,
    note: Note,
    *,
    token: str = "",
    shuffled: bool = False,
) -> None:
    """Check that every caption leaves room for the word; report captions that are cut off.

    Args:
        readers: the model's tokenizers.
        captions: picture -> its own caption.
        templates: the prompts to train with.
        vectors: of the word.
        note: called with how many captions are cut off.
        token: the word; a caption may hold it instead of `[name]`.
        shuffled: whether tags are shuffled.

    Raises:
        PromptError: with some caption the word itself would be cut off; the message names the
            picture.
    """
    check_templates(readers, templates, vectors, token)
    cut: list[tuple[PromptReading, Path]] = []
    for picture, caption in captions.items():
        try:
            worst = check_caption(readers, caption, templates, vectors, token, shuffled)
        except PromptError as error:
            raise PromptError(f"{picture}: {error}") from error
        if worst is not None:
            cut.append((worst, picture))
    if cut:
        reading, picture = max(cut, key=lambda item: item[0].tokens)
        count = f"{len(cut)} of {len(captions)} captions are cut off"
        note_truncation(f"{count}: the longest prompt, of {picture.name},", reading, note)


def check_templates(
    readers: Sequence[PromptReader], templates: Sequence[str], vectors: int, token: str = ""
) -> None:
    """Check that a word with this many vectors fits into each template.

    Raises:
        PromptError: it does not.
    """
    for template in templates:
        prompt = replace_placeholder(
            render(template, PLACEHOLDER), token or PLACEHOLDER, PLACEHOLDER
        )
        try:
            most_truncated(readers, prompt, {PLACEHOLDER: vectors})
        except PromptError as error:
            raise PromptError(
                f"a word of {vectors} vectors does not fit into the template {template!r}: {error} "
                "Or use fewer --vectors."
            ) from error


def check_caption(
    readers: Sequence[PromptReader],
    caption: str,
    templates: Sequence[str],
    vectors: int,
    token: str = "",
    shuffled: bool = False,
) -> PromptReading | None:
    """Check one caption with all templates.

    Returns:
        How the longest prompt is read; None if no prompt is cut off.

    Raises:
        PromptError: the word itself would be cut off.
    """
    filewords = _word_last(caption, token or PLACEHOLDER) if shuffled else caption
    readings = []
    for template in templates if caption else ():
        if "[filewords]" not in template:
            continue
        prompt = replace_placeholder(
            render(template, PLACEHOLDER, filewords), token or PLACEHOLDER, PLACEHOLDER
        )
        try:
            readings.append(most_truncated(readers, prompt, {PLACEHOLDER: vectors}))
        except PromptError as error:
            raise PromptError(
                f"with the template {template!r} its caption is too long, and the word would be "
                "cut off. Shorten the caption, or move [name] forward."
            ) from error
    cut = [reading for reading in readings if reading.cut_off]
    return max(cut, key=lambda reading: reading.tokens, default=None)


def _word_last(caption: str, token: str) -> str:
    """The caption with the tags that hold the word moved to the end: the worst order."""
    tags = caption.split(",")
    return ",".join(sorted(tags, key=lambda tag: len(split(tag, [token, "[name]"]))))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN_CHARS else f"{line[: MAX_SHOWN_CHARS - 1]}…"
