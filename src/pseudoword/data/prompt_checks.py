"""Checks of prompts and captions: what of them is not read, or not as it may be meant."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pseudoword.config import Emphasis
from pseudoword.config.captions import CaptionSettings
from pseudoword.data.captions import ELSEWHERE, always_left_out, instead_of_theirs, render
from pseudoword.errors import PromptError
from pseudoword.models.family import Family
from pseudoword.models.reading.chunks import count_chunks
from pseudoword.models.reading.prompt_reader import PromptReader
from pseudoword.models.reading.prompts import PromptReading
from pseudoword.placeholders import delimited, replace_placeholders, split, undelimited
from pseudoword.progress import Note
from pseudoword.prompt_weights import parse, plain

MAX_SHOWN_CHARS = 60
"""Characters of a text that a note shows."""

STAND_IN = "\ue002"
"""Stands for placeholders and fields, which may look like weights."""

_NOT_SUPPORTED = rf"""
    (?<!\\) \[ (?: [^\[\]:]* : ){{1,2}} \s* [\d.]+ \s* \] # [one:other:0.5]
    | (?<!\\) \[ [^\[\]|]* \| [^\[\]]* \]              # [one|other]
    | \( [^()]+ \) (?: [+-]+ | [\d.]+ )                # (word)++ and (word)1.3
    | [\w{STAND_IN}] [+]{{2,}}                         # word++
    | [\w{STAND_IN}] -{{2,}} (?!\w)                    # word--
    | < \w+ : [^<>]+ : [\d.]+ >                        # <lora:name:0.8>
"""
_SUPPORTED = r"""
    \( [^()\[\]]* : \s* [+-]?[\d.]+ \s* \)             # (word:1.2)
    | \(\( [^()]* \)\)                                 # ((word))
    | \[ [^\[\]]+ \]                                  # [word]
"""

NOT_SUPPORTED = re.compile(rf"{_NOT_SUPPORTED} | \b AND \b", re.VERBOSE)
"""What AUTOMATIC1111, InvokeAI and compel read in a prompt, and pseudoword does not."""

WEIGHT = re.compile(f"{_SUPPORTED} | {_NOT_SUPPORTED}", re.VERBOSE)
"""The syntax of weights in all of these tools, which in captions is text."""

COMFYUI = re.compile(r"\b embedding: [^\s,():]+", re.VERBOSE)
"""How a word is written in ComfyUI, by the name of its file."""

CHOICE = re.compile(r"\{ [^{}|]* \| [^{}]* \} | \|\|\| | ;;;", re.VERBOSE)
"""One of several texts, or what parts tags, in captions for kohya's scripts."""

NAME = re.compile(r"< [^\W\d_] [\w-]* >", re.VERBOSE)
"""How words are mostly called."""

_CHOICES = (
    "tags are parted by commas, and a caption of several lines with --caption-lines random has one "
    "of them each time"
)
_AS_IT_IS = "a word is written by its name alone"

FIELDS = ("[name]", "[filewords]")
PLACEHOLDER = delimited(0)
"""Stands for the new word in a template."""

NONE: Mapping[str, int] = MappingProxyType({})


def most_truncated(
    readers: Iterable[PromptReader], prompt: str, counts: Mapping[str, int]
) -> PromptReading:
    """What is read by the text encoder that cuts off most of `prompt`.

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


def check_prompts(
    family: Family,
    prompts: Mapping[str, str],
    counts: Mapping[str, int],
    note: Note,
    *,
    emphasis: Emphasis | None = None,
) -> None:
    """Check prompts to draw, and report what of them is not read, or not as it may be meant.

    Args:
        family: the model that draws.
        prompts: what a note calls each of them -> the text.
        counts: placeholder -> its number of vectors.
        note: called with each sentence.
        emphasis: how weights are applied; by default as the model says.

    Raises:
        PromptError: a placeholder would be cut off, or a weight is too large.
    """
    readers = [encoder.reader for encoder in family.encoders.values()]
    of_model = [token for reader in readers for token in reader.tokenizer.get_added_vocab()]
    known = [*counts, *of_model]
    _note(NAME, prompts.values(), known, note, "no word that was given is called so")
    _note(COMFYUI, prompts.values(), counts, note, _AS_IT_IS)
    if not family.reads_weights:
        for name, text in prompts.items():
            note_truncation(name, most_truncated(readers, text, counts), note)
        _note(WEIGHT, prompts.values(), counts, note, f"{family.source.name} reads no weights")
        return
    plain_text = (emphasis or family.defaults.emphasis) == "none"
    understand = plain if plain_text else parse
    for name, text in prompts.items():
        prompt = understand(text, counts)
        for reader in readers:
            count_chunks(reader, prompt, counts)
        if prompt.unclosed:
            note(
                f"{name} has a bracket that is not closed, so its weight lasts to the end: "
                f"{_short(prompt.unclosed)!r}. For a bracket that is text, write \\( or \\["
            )
    if not plain_text:
        _note(NOT_SUPPORTED, prompts.values(), counts, note, "this is not supported")


def note_weights(texts: Iterable[str], note: Note, placeholders: Iterable[str] = ()) -> None:
    """Report the first caption or template that seems to have weights, which only drawing reads,
    a word as ComfyUI's, or choices as kohya's scripts."""
    texts = list(texts)
    _note(COMFYUI, texts, placeholders, note, _AS_IT_IS)
    _note(WEIGHT, texts, placeholders, note, "only prompts to draw have weights")
    _note(CHOICE, texts, placeholders, note, _CHOICES)


def note_unknown_words(texts: Iterable[str], note: Note, known: Iterable[str]) -> None:
    """Report the first caption or template that seems to name a word that is not there."""
    _note(NAME, texts, known, note, "no word is called so; --words FILE gives one")


def _note(
    syntax: re.Pattern[str], texts: Iterable[str], placeholders: Iterable[str], note: Note, why: str
) -> None:
    """Report the first of `texts` that has something of `syntax` in it."""
    for text in texts:
        if found := _find(syntax, text, placeholders):
            because = "the new word is [name]" if found in ELSEWHERE else why
            note(f"{_short(found)} is plain text here: {because}")
            return


def _find(syntax: re.Pattern[str], text: str, placeholders: Iterable[str]) -> str:
    """The first part of `text` that is of `syntax`, or nothing.

    A placeholder may look like a weight itself, so placeholders are hidden during the search.
    """
    pieces = split(text.replace(STAND_IN, ""), [*placeholders, *FIELDS])
    hidden = "".join(STAND_IN if i % 2 else piece for i, piece in enumerate(pieces))
    match = syntax.search(hidden)
    if match is None:
        return ""
    names = iter(pieces[1::2][hidden[: match.start()].count(STAND_IN) :])
    return undelimited(re.sub(STAND_IN, lambda _: next(names), match[0]))


def check_captions(
    readers: Sequence[PromptReader],
    captions: Sequence[tuple[Path, str]],
    templates: Sequence[str],
    new: Mapping[str, int],
    note: Note,
    *,
    shuffled: bool = False,
    others: Mapping[str, int] = NONE,
) -> None:
    """Check that every caption leaves room for the word; report captions that are cut off.

    Args:
        readers: the model's tokenizers.
        captions: of each picture its own caption, or all that it can be.
        templates: the prompts to train with.
        new: the token of each new word -> how many vectors; `[name]` stands for the first one, and
            a caption may hold any of them.
        note: called with how many captions are cut off.
        shuffled: whether tags are shuffled.
        others: the tokens of other words -> how many vectors each has.

    Raises:
        PromptError: with some caption the word itself would be cut off, or there is no word in it
            and none in a template; the message names the picture.
    """
    token, *also = new
    check_word(captions, templates, ["[name]", *new], others)
    with_word = sum(names_one(text, ["[name]", token], [*also, *others]) for _, text in captions)
    if with_word and any("[name]" in one and "[filewords]" in one for one in templates):
        note(
            f"{with_word} of {len(captions)} captions have the word in them, and so have these "
            "templates: it is there twice. --template filewords takes captions as they are"
        )
    others = {**others, **{one: new[one] for one in also}}
    check_templates(readers, templates, new[token], token, others)
    cut: list[tuple[PromptReading, Path]] = []
    for picture, caption in captions:
        try:
            worst = check_caption(readers, caption, templates, new[token], token, shuffled, others)
        except PromptError as error:
            raise PromptError(f"{picture}: {error}") from error
        if worst is not None:
            cut.append((worst, picture))
    if cut:
        reading, picture = max(cut, key=lambda item: item[0].tokens)
        count = f"{len(cut)} of {len(captions)} captions are cut off"
        note_truncation(f"{count}: the longest prompt, of {picture.name},", reading, note)


def check_word(
    captions: Iterable[tuple[Path, str]],
    templates: Sequence[str],
    own: Sequence[str],
    others: Iterable[str],
) -> None:
    """Check that the word is in every prompt.

    Args:
        captions: of each picture its own caption, or all that it can be.
        templates: the prompts to train with.
        own: the token of the word, and `[name]`; also those of words that are learned with it.
        others: the tokens of other words.

    Raises:
        PromptError: it is neither in all templates nor in all captions; the message names the
            picture.
    """
    if all("[name]" in template for template in templates):
        return
    for picture, caption in captions:
        if not names_one(caption, own, others):
            instead = instead_of_theirs(caption) or "Write [name] into the caption"
            raise PromptError(
                f"{picture}: the word is not in its caption, {_short(caption)!r}, and a template "
                f"has no [name] either. {instead}, or choose --template captioned."
            )


def check_each_is_named(
    tokens: Sequence[str],
    captions: Sequence[str],
    templates: Sequence[str],
    settings: CaptionSettings,
    known: Sequence[str],
) -> None:
    """Check that each of several new words is in some prompt; one alone is in all (`check_word`).

    Args:
        tokens: theirs; `[name]` stands for the first one, too.
        captions: the pictures' own.
        templates: the prompts to train with.
        settings: what of captions is left out.
        known: the tokens of all words.

    Raises:
        PromptError: one is in none.
    """
    with_captions = [one for one in templates if "[filewords]" in one]
    left_out = always_left_out(settings) if all("[name]" in one for one in with_captions) else ""
    for number, token in enumerate(tokens if len(tokens) > 1 else ()):
        flag, own = ("--also", [token]) if number else ("--token", [token, "[name]"])
        if any(names_one(text, own, known) for text in templates):
            continue
        used = captions if with_captions else ()
        in_captions = any(names_one(text, own, known) for text in used)
        if in_captions and left_out:
            raise PromptError(
                f"{flag} {token}: only captions have {token} in them, and {left_out} leaves all of "
                "these out, so it cannot be learned. Leave out less, or use --template filewords."
            )
        if not in_captions:
            raise PromptError(
                f"{flag} {token}: no caption or sentence has {token} in it, so it cannot be "
                "learned. Write captions that say which word is in a picture, and use them: "
                "--template filewords."
            )


def names_one(text: str, own: Iterable[str], others: Iterable[str] = ()) -> bool:
    """Whether `text` has one of `own` in it, elsewhere than in a longer one of `others`."""
    return not {*own}.isdisjoint(split(text, [*own, *others])[1::2])


def check_templates(
    readers: Sequence[PromptReader],
    templates: Sequence[str],
    vectors: int,
    token: str,
    others: Mapping[str, int],
) -> None:
    """Check that a word with this many vectors fits into each template.

    Raises:
        PromptError: it does not.
    """
    for template in templates:
        prompt = _with_placeholder(render(template, PLACEHOLDER), token, others)
        try:
            most_truncated(readers, prompt, {**others, PLACEHOLDER: vectors})
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
    token: str,
    shuffled: bool,
    others: Mapping[str, int],
) -> PromptReading | None:
    """Check one caption with all templates; the word in it is called `token`, or `PLACEHOLDER`.

    Returns:
        How the longest prompt is read; None if no prompt is cut off.

    Raises:
        PromptError: the word itself would be cut off.
    """
    filewords = _words_last(caption, [token, *others]) if shuffled else caption
    readings = []
    for template in templates if caption else ():
        if "[filewords]" not in template:
            continue
        prompt = _with_placeholder(render(template, PLACEHOLDER, filewords), token, others)
        try:
            readings.append(most_truncated(readers, prompt, {**others, PLACEHOLDER: vectors}))
        except PromptError as error:
            raise PromptError(
                f"with the template {template!r} its caption is too long, and the word would be "
                "cut off. Shorten the caption, or move [name] forward."
            ) from error
    cut = [reading for reading in readings if reading.cut_off]
    return max(cut, key=lambda reading: reading.tokens, default=None)


def _with_placeholder(prompt: str, token: str, others: Iterable[str]) -> str:
    """`prompt` with `PLACEHOLDER` in place of the new word; the names of `others` stay."""
    return replace_placeholders(prompt, {other: other for other in others} | {token: PLACEHOLDER})


def _words_last(caption: str, tokens: Sequence[str]) -> str:
    """The caption with the tags that hold a word moved to the end: the worst order."""
    tags = caption.split(",")
    return ",".join(sorted(tags, key=lambda tag: len(split(tag, [*tokens, "[name]"]))))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN_CHARS else f"{line[: MAX_SHOWN_CHARS - 1]}…"
