"""What of a text a model does not read as it was meant: its end, and weights. Told in one line."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pseudoword.data.captions import render
from pseudoword.errors import PromptError
from pseudoword.models.injection import Reader, Reading
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
"""How weights are written for AUTOMATIC1111, ComfyUI, InvokeAI and compel."""

FIELDS = ("[name]", "[filewords]")
STAND_IN = "\ue002"
"""For what looks like a weight and is none."""

PLACEHOLDER = delimited(0)
"""The word in a sentence to learn in."""


def most_truncated(readers: Iterable[Reader], prompt: str, counts: Mapping[str, int]) -> Reading:
    """What the text encoder reads that leaves out most of `prompt`.

    Raises:
        PromptError: a placeholder would be cut off.
    """
    readings = [reader.reading(prompt, counts) for reader in readers]
    return max(readings, key=lambda reading: reading.tokens - reading.room)


def note_truncation(called: str, reading: Reading, note: Note) -> None:
    """Say how much of a text is read, if not all of it."""
    if reading.lost:
        note(
            f"{called} has {reading.tokens} tokens, {reading.room} are read; not read: "
            f"{_short(reading.lost)!r}"
        )


def note_weights(texts: Iterable[str], note: Note, placeholders: Sequence[str] = ()) -> None:
    """Say of the first text that looks as if it had weights that they are plain text here."""
    for text in texts:
        if found := _weight(text, placeholders):
            note(f"{_short(found)} is plain text here: weights in prompts are not read")
            return


def _weight(text: str, placeholders: Sequence[str]) -> str:
    """The first part of `text` that looks like a weight; placeholders may be written as they like,
    and stand for themselves."""
    pieces = split(text.replace(STAND_IN, ""), [*placeholders, *FIELDS])
    bare = "".join(STAND_IN if i % 2 else piece for i, piece in enumerate(pieces))
    found = WEIGHT.search(bare)
    if found is None:
        return ""
    names = iter(pieces[1::2][bare[: found.start()].count(STAND_IN) :])
    return undelimited(re.sub(STAND_IN, lambda _: next(names), found[0]))


def check_captions(
    readers: Sequence[Reader],
    captions: Mapping[Path, str],
    templates: Sequence[str],
    vectors: int,
    note: Note,
    *,
    token: str = "",
    shuffled: bool = False,
) -> None:
    """Find captions that would push the word out of what is read, and tell of those that are cut.

    Args:
        readers: the model's text encoders.
        captions: picture -> its own caption.
        templates: the sentences to learn in.
        vectors: how many the word has.
        note: told of what is cut.
        token: the word, which a caption may hold besides `[name]`.
        shuffled: whether the tags of captions come in any order.

    Raises:
        PromptError: there is one that pushes the word out; the message names its picture.
    """
    check_templates(readers, templates, vectors, token)
    cut: list[tuple[Reading, Path]] = []
    for picture, caption in captions.items():
        try:
            worst = check_caption(readers, caption, templates, vectors, token, shuffled)
        except PromptError as error:
            raise PromptError(f"{picture}: {error}") from error
        if worst is not None:
            cut.append((worst, picture))
    if cut:
        reading, picture = max(cut, key=lambda one: one[0].tokens)
        many = f"{len(cut)} of {len(captions)} captions are cut: "
        note_truncation(f"{many}with that of {picture.name} the prompt", reading, note)


def check_templates(
    readers: Sequence[Reader], templates: Sequence[str], vectors: int, token: str = ""
) -> None:
    """See that a word of so many vectors fits into each sentence.

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
                f"a word of {vectors} vectors does not fit into the sentence {template!r}: {error} "
                "Or use fewer --vectors."
            ) from error


def check_caption(
    readers: Sequence[Reader],
    caption: str,
    templates: Sequence[str],
    vectors: int,
    token: str = "",
    shuffled: bool = False,
) -> Reading | None:
    """How the sentence is read of which most is cut with this caption; None if none is.

    Raises:
        PromptError: the word would be cut off.
    """
    words = _word_last(caption, token or PLACEHOLDER) if shuffled else caption
    readings = []
    for template in templates if caption else ():
        if "[filewords]" not in template:
            continue
        prompt = replace_placeholder(
            render(template, PLACEHOLDER, words), token or PLACEHOLDER, PLACEHOLDER
        )
        try:
            readings.append(most_truncated(readers, prompt, {PLACEHOLDER: vectors}))
        except PromptError as error:
            raise PromptError(
                f"with the template {template!r} its caption is too long, and the word would be "
                "cut off. Shorten the caption, or move [name] forward."
            ) from error
    cut = [reading for reading in readings if reading.lost]
    return max(cut, key=lambda reading: reading.tokens, default=None)


def _word_last(caption: str, token: str) -> str:
    """The order of tags in which a word among them is read last."""
    tags = caption.split(",")
    return ",".join(sorted(tags, key=lambda tag: len(split(tag, [token, "[name]"]))))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN_CHARS else f"{line[: MAX_SHOWN_CHARS - 1]}…"
