"""The world's names, held-out concepts and styles, read from the text files beside this one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Style:
    """One icon set: the word captions use for it, its npm package and where its licence stands."""

    word: str
    package: str
    version: str
    licence: str
    author: str
    held_out: bool = False


STYLES = (
    Style("noto", "noto", "1.2.9", "Apache-2.0", "Google Inc"),
    Style("blob", "noto-v1", "1.2.5", "Apache-2.0", "Google Inc"),
    Style("twemoji", "twemoji", "1.2.5", "CC-BY-4.0", "Twitter"),
    Style("fluent", "fluent-emoji", "1.2.7", "MIT", "Microsoft Corporation"),
    Style("flat", "fluent-emoji-flat", "1.2.6", "MIT", "Microsoft Corporation"),
    Style("firefox", "fxemoji", "1.2.2", "Apache-2.0", "Mozilla"),
    Style("emojione", "emojione", "1.2.3", "CC-BY-4.0", "Emoji One", held_out=True),
)
"""The held-out style is EmojiOne 2: near enough to the flat sets to be learnable from a few
pictures, yet with outlines and shading of its own."""


@dataclass(frozen=True)
class Thing:
    """One name of the world. `words` is what captions say; `article` is off for "popcorn"."""

    icon: str
    words: str
    kind: str
    article: bool = True
    held_out: bool = False
    start: str = ""
    """Held-out only: the known word a learner would begin from."""
    reason: str = ""
    extra: bool = False
    """It only widens what is drawn in training: nothing is asked about it."""


def _lines(file: str) -> list[tuple[str, str]]:
    """`key: value` lines, comments and blanks dropped."""
    text = (_FOLDER / file).read_text(encoding="utf-8")
    rows = (line.partition(":") for line in text.splitlines() if line and line[0] != "#")
    return [(key.strip(), value.strip()) for key, _, value in rows]


def _thing(
    entry: str, kind: str, *, held_out: bool = False, start: str = "", reason: str = ""
) -> Thing:
    article = not entry.endswith("*")
    icon, _, words = entry.rstrip("*").partition("=")
    return Thing(icon, words or icon.replace("-", " "), kind, article, held_out, start, reason)


def known_things() -> list[Thing]:
    """The names the base model is trained on, and asked about."""
    return [
        _thing(entry.strip(), kind)
        for kind, entries in _lines("names.txt")
        for entry in entries.split(",")
    ]


def held_out_things() -> list[Thing]:
    """The forty names only the judge may see."""
    found = []
    for entry, value in _lines("heldout.txt"):
        if entry == "near":
            continue
        kind, start, reason = (part.strip() for part in value.split(";"))
        found.append(_thing(entry, kind, held_out=True, start=start, reason=reason))
    return found


def extra_things() -> list[Thing]:
    """Names that the base model is trained on beside the known ones, to draw more than those."""
    text = (_FOLDER / "more.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    entries = [entry.strip() for entry in " ".join(lines).split(",")]
    return [replace(_thing(entry, ""), extra=True) for entry in entries]
