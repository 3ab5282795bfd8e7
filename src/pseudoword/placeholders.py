"""Where in a text a new word stands: found as text, in any script, by one function everywhere."""

import re
import unicodedata
from collections.abc import Iterable

from pseudoword import errors
from pseudoword.text import brief

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Private-use characters around what is a placeholder, whatever stands beside it."""

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


_INVISIBLE = {0x200C: None, 0x200D: None}
"""Invisible, and part of words in Persian and Indian scripts, and of emoji."""


def check_token(token: str) -> str:
    """Return `token`, in Unicode's composed form (NFC), if it can be a placeholder.

    Raises:
        SettingsError: it is empty, has white space around it, or control characters in it.
    """
    seen = token.translate(_INVISIBLE)
    if not seen.strip():
        raise errors.SettingsError(
            '--token is empty. Give the new word a name, for example "<my-cat>".'
        )
    if token != token.strip() or not seen.isprintable():
        raise errors.SettingsError(
            f"--token {brief(token)} has white space around it or control characters in it. "
            'Use visible characters, for example "<my-cat>".'
        )
    return unicodedata.normalize("NFC", token)


def delimited(placeholder: object) -> str:
    """How to write a placeholder in a prompt so that it is found whatever stands beside it."""
    return f"{_OPEN}{placeholder}{_CLOSE}"


def undelimited(text: str) -> str:
    """A user's text without the characters that `delimited` writes."""
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def as_written(prompt: str) -> str:
    """A prompt as people write it: `delimited` placeholders bare, those of a pack as `[name]`."""
    return undelimited(re.sub(f"{_OPEN}\\d+{_CLOSE}", "[name]", prompt))


def split(prompt: str, placeholders: Iterable[str]) -> list[str]:
    """Cut `prompt` so that every placeholder is a piece of its own, at odd places of the list.

    The longest placeholder wins where several fit. It is not found inside a longer word: `cat` is
    in "cat, cats, cat's and cat-like", but not in "category", "bobcat", "cat2" or "my_cat". So:

    - Between two letters, digits or `_` of scripts that put spaces between words, no word ends.
    - Where one of the two is of a script that does not (Chinese, Japanese, Thai, Lao, Khmer,
      Burmese, Tibetan ...), or of Korean, whose particles follow without a space, a word may end:
      `猫` is in "猫の写真", and `cat` in "catの写真".
    - The endings s and es of a plural may follow.
    - A combining mark belongs to the letter before it, and what a joiner joins stays whole.
    - What begins or ends with anything else, as `<cat>` does, is found wherever it stands, and so
      is what is written as `delimited`.

    Text is compared in Unicode's composed form (NFC), and so are the pieces.
    """
    prompt = unicodedata.normalize("NFC", prompt)
    known = sorted({unicodedata.normalize("NFC", p) for p in placeholders}, key=len, reverse=True)
    if not known:
        return [prompt]
    written = {form: p for p in known for form in (delimited(p), p)}  # what is named is tried first
    forms = sorted(written, key=len, reverse=True)
    start = re.compile("|".join(map(re.escape, forms)))
    pieces, done, at = [], 0, 0
    while found := start.search(prompt, at):
        at = found.start()
        for form in forms:
            if prompt.startswith(form, at) and _stands_alone(prompt, at, at + len(form)):
                pieces += [prompt[done:at], written[form]]
                done = at = at + len(form)
                break
        else:
            at += 1
    return [*pieces, prompt[done:]]


def replace_placeholder(prompt: str, placeholder: str, mark: str) -> str:
    """`prompt` with `mark` wherever `placeholder` is found; what is `mark` already stays."""
    pieces = split(prompt, [placeholder, mark])
    return "".join(mark if i % 2 else piece for i, piece in enumerate(pieces))


def _stands_alone(prompt: str, start: int, end: int) -> bool:
    """Whether a placeholder that fits into `prompt[start:end]` is no part of a longer word."""
    if prompt[start] == _OPEN:
        return True
    if _continues_word(prompt, start):
        return False
    plural = _PLURAL.match(prompt, end)
    return not _continues_word(prompt, end) or (
        plural is not None and not _continues_word(prompt, plural.end())
    )


def _continues_word(text: str, at: int) -> bool:
    """Whether the character at `at` is of one word with what stands before it."""
    if not 0 < at < len(text):
        return False
    if _JOINER in text[at - 1 : at + 1] or _is_mark(text[at]):
        return True
    before = at - 1
    while before and _is_mark(text[before]):
        before -= 1
    return _is_spaced_letter(text[before]) and _is_spaced_letter(text[at])


def _is_spaced_letter(character: str) -> bool:
    """Whether this is part of a word, in a script that puts spaces between words."""
    word = character.isalnum() or character == "_"
    return word and not _UNSPACED.match(character)


def _is_mark(character: str) -> bool:
    """Whether it changes the letter before it; what only chooses its looks does not."""
    return unicodedata.category(character)[0] == "M" and not _VARIATION_SELECTORS.match(character)
