"""Find placeholder tokens in text, in any script. All parts of the program use this function."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from pseudoword import errors
from pseudoword.text import brief

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Private-use characters around a placeholder that is certain."""

_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f"
    "\u2e80-\ua4cf\ua960-\ua97f\ua980-\uaadf\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U00016fe0-\U0001b2ff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Tibetan, Burmese, Korean, Khmer, Tai, Javanese, Balinese, Chinese, Japanese, Yi ..."""

_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors."""

_JOINER = "\u200d"
_PLURAL = re.compile("e?s", re.IGNORECASE)

_REMEMBERED = 64
"""Sets of placeholders whose pattern is kept: a run asks for the same ones in each step."""

_INVISIBLE = {0x200C: None, 0x200D: None}
"""Joiners: invisible parts of words in Persian and Indian scripts, and of emoji."""


_LONGEST = 1000
"""The most characters of a token."""

_RESERVED = "__metadata__"
"""No tensor in a safetensors file can have this name."""


def check_token(token: str, flag: str = "--token") -> str:
    """Return `token`, in Unicode's composed form (NFC), if it can be a placeholder.

    `flag` is where the user gave it.

    Raises:
        SettingsError: it is empty, too long, has white space around it, or control characters in
            it, or no file can hold it.
    """
    visible = token.translate(_INVISIBLE)
    if not visible.strip():
        raise errors.SettingsError(
            f'{flag} is empty. Give the new word a name, for example "<my-cat>".'
        )
    if token != token.strip() or not visible.isprintable():
        raise errors.SettingsError(
            f"{flag} {brief(token)} has white space around it or control characters in it. "
            'Use visible characters, for example "<my-cat>".'
        )
    if len(token) > _LONGEST or token == _RESERVED:
        why = f"has {len(token)} characters" if token != _RESERVED else "is reserved by safetensors"
        raise errors.SettingsError(
            f'{flag} {brief(token)} {why}. Choose a short name, for example "<my-cat>".'
        )
    return unicodedata.normalize("NFC", token)


def delimited(placeholder: object) -> str:
    """A placeholder with delimiters, so that it is found whatever text is beside it."""
    return f"{_OPEN}{placeholder}{_CLOSE}"


def pack_placeholder(k: int, word: int = 0) -> str:
    """The placeholder of the k-th concept of a pack in its prompts.

    A private-use character, so that two concepts of the same name can share a pack. A concept of
    several words has one for each, and `word` is its number.
    """
    return delimited(f"{k}.{word}" if word else k)


def renumbered(prompt: str, old: int, new: int) -> str:
    """A prompt of the concept `old` of a pack as one of the concept `new`, all words of it."""
    return re.sub(f"{_OPEN}{old}(?=[.{_CLOSE}])", f"{_OPEN}{new}", prompt)


def undelimited(text: str) -> str:
    """A user's text without the delimiters that `delimited` writes."""
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def as_written(prompt: str) -> str:
    """A prompt as people write it: without delimiters, and `[name]` for placeholders of a pack.

    A concept's second word is `[name 2]`.
    """

    def name(match: re.Match[str]) -> str:
        return f"[name {int(match[1]) + 1}]" if match[1] else "[name]"

    return undelimited(re.sub(rf"{_OPEN}\d+(?:\.(\d+))?{_CLOSE}", name, prompt))


def split(prompt: str, placeholders: Iterable[str]) -> list[str]:
    """Split `prompt` at its placeholders, which are at the odd places of the list.

    Where several placeholders fit, the longest one is used. A placeholder is not found inside a
    longer word: `cat` is in "cat, cats, cat's and cat-like", but not in "category", "bobcat",
    "cat2" or "my_cat". The rules:

    - No word ends between two letters, digits or `_` of scripts with spaces between words.
    - A word may end beside a letter of a script without such spaces (Chinese, Japanese, Thai, Lao,
      Khmer, Burmese, Tibetan ...), or of Korean, whose particles follow without a space: `猫` is in
      "猫の写真", and `cat` in "catの写真".
    - The plural endings s and es may follow.
    - A combining mark belongs to the letter before it. Joined letters stay together.
    - A placeholder that begins and ends with other characters, like `<cat>`, is found anywhere; so
      is a delimited one.

    Text is compared, and returned, in Unicode's composed form (NFC).
    """
    prompt = unicodedata.normalize("NFC", prompt)
    written, start = _forms(tuple(placeholders))
    if not written:
        return [prompt]
    pieces, done, at = [], 0, 0
    while match := start.search(prompt, at):
        at = match.start()
        for form, placeholder in written.items():
            if prompt.startswith(form, at) and _stands_alone(prompt, at, at + len(form)):
                pieces += [prompt[done:at], placeholder]
                done = at = at + len(form)
                break
        else:
            at += 1
    return [*pieces, prompt[done:]]


def named(texts: Iterable[str], placeholders: Iterable[str]) -> list[str]:
    """Those of `placeholders` that are in a text; `<cat>` is not in it where `<cat>-hat` is."""
    known = tuple(placeholders)
    found = {piece for text in texts for piece in split(text, known)[1::2]}
    return [one for one in known if unicodedata.normalize("NFC", one) in found]


@lru_cache(_REMEMBERED)
def _forms(placeholders: tuple[str, ...]) -> tuple[dict[str, str], re.Pattern[str]]:
    """How placeholders are written -> which, longest first; and a pattern that finds any."""
    known = sorted({unicodedata.normalize("NFC", p) for p in placeholders}, key=len, reverse=True)
    written = {form: p for p in known for form in (delimited(p), p)}  # with delimiters first
    longest_first = dict(sorted(written.items(), key=lambda one: len(one[0]), reverse=True))
    return longest_first, re.compile("|".join(map(re.escape, longest_first)))


def replace_placeholders(prompt: str, marks: Mapping[str, str]) -> str:
    """`prompt` with the mark of each placeholder in its place; existing marks stay."""
    known = {unicodedata.normalize("NFC", placeholder): mark for placeholder, mark in marks.items()}
    pieces = split(prompt, known.values())
    for i in range(0, len(pieces), 2):  # between the marks
        parts = split(pieces[i], known)
        pieces[i] = "".join(known[part] if k % 2 else part for k, part in enumerate(parts))
    return "".join(pieces)


def _stands_alone(prompt: str, start: int, end: int) -> bool:
    """Whether the placeholder at `prompt[start:end]` is not part of a longer word."""
    if prompt[start] == _OPEN:
        return True
    if _continues_word(prompt, start):
        return False
    plural = _PLURAL.match(prompt, end)
    return not _continues_word(prompt, end) or (
        plural is not None and not _continues_word(prompt, plural.end())
    )


def _continues_word(text: str, at: int) -> bool:
    """Whether the character at `at` belongs to the same word as the one before it."""
    if not 0 < at < len(text):
        return False
    if _JOINER in text[at - 1 : at + 1] or _is_mark(text[at]):
        return True
    before = at - 1
    while before and _is_mark(text[before]):
        before -= 1
    return _is_spaced_letter(text[before]) and _is_spaced_letter(text[at])


def _is_spaced_letter(character: str) -> bool:
    """Whether this is a letter, digit or `_` of a script with spaces between words."""
    word = character.isalnum() or character == "_"
    return word and not _UNSPACED.match(character)


def _is_mark(character: str) -> bool:
    """Whether it is a combining mark; variation selectors are not."""
    return unicodedata.category(character)[0] == "M" and not _VARIATION_SELECTORS.match(character)
