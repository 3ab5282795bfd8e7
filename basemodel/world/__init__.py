"""The names, held-out concepts and icon sets of the model's world; lists are in text files here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Style:
    """One icon set: its word in captions, its package, and its licence."""

    word: str
    package: str
    version: str
    licence: str
    author: str
    held_out: bool = False
    extra: bool = False
    """Shown in training only, for more variety; nothing is measured with it."""


STYLES = (
    Style("noto", "noto", "1.2.9", "Apache-2.0", "Google Inc"),
    Style("blob", "noto-v1", "1.2.5", "Apache-2.0", "Google Inc"),
    Style("twemoji", "twemoji", "1.2.5", "CC-BY-4.0", "Twitter"),
    Style("fluent", "fluent-emoji", "1.2.7", "MIT", "Microsoft Corporation"),
    Style("flat", "fluent-emoji-flat", "1.2.6", "MIT", "Microsoft Corporation"),
    Style("firefox", "fxemoji", "1.2.2", "Apache-2.0", "Mozilla"),
    Style("emojione", "emojione", "1.2.3", "CC-BY-4.0", "Emoji One", held_out=True),
    Style("streamline", "streamline-emojis", "1.2.4", "CC-BY-4.0", "Streamline", extra=True),
    Style("badge", "streamline-kameleon-color", "1.2.2", "CC-BY-4.0", "Streamline", extra=True),
    Style("ultimate", "streamline-ultimate-color", "1.2.2", "CC-BY-4.0", "Streamline", extra=True),
    Style("sticker", "streamline-stickies-color", "1.2.2", "CC-BY-4.0", "Streamline", extra=True),
    Style("simple", "flat-color-icons", "1.2.3", "MIT", "Icons8", extra=True),
    Style("clipart", "openclipart-svg", "1:0.18+dfsg-19", "public domain", "the Open Clip Art "
          "Library's contributors", extra=True),
)  # fmt: skip
"""The held-out style is EmojiOne 2. It is like the flat sets, so that a few pictures are enough to
learn it, but it has its own outlines and shading. Of an extra set only the icons listed in `sets/`
are used, each by its own name. The last set is Debian's package; the others are Iconify's."""

SHAPES = (
    Style("", "fluent-emoji-high-contrast", "1.2.6", "MIT", "Microsoft Corporation"),
    Style("", "game-icons", "1.2.4", "CC-BY-3.0", "Lorc, Delapouite and contributors"),
    Style("", "streamline-flex-color", "1.2.2", "CC-BY-4.0", "Streamline"),
    Style("", "streamline-freehand-color", "1.2.2", "CC-BY-4.0", "Streamline"),
    Style("", "streamline-plump-color", "1.2.2", "CC-BY-4.0", "Streamline"),
    Style("", "streamline-cyber-color", "1.2.2", "CC-BY-4.0", "Streamline"),
    Style("", "fluent-color", "1.2.21", "MIT", "Microsoft Corporation"),
    Style("", "meteocons", "1.2.4", "MIT", "Bas Milius"),
)
"""Sets that no caption names. They were seen only with words made from drawings. The icons of the
first one are known things in black; words made from drawings also name its style."""


def known_styles() -> list[str]:
    """The words of the styles that are neither held out nor extra; measured prompts use these."""
    return [style.word for style in STYLES if not style.held_out and not style.extra]


@dataclass(frozen=True)
class Thing:
    """One name of the world: `name` in captions, with an article unless it is like "popcorn"."""

    icon: str
    name: str
    kind: str
    article: bool = True
    held_out: bool = False
    init_word: str = ""
    """Held-out only: the known word that learning begins from."""
    reason: str = ""
    extra: bool = False
    """Shown in training only, for more variety; nothing is measured with it."""


def _lines(file: str) -> list[tuple[str, str]]:
    """The `key: value` lines of a file, without comments and blank lines."""
    text = (_FOLDER / file).read_text(encoding="utf-8")
    rows = (line.partition(":") for line in text.splitlines() if line and line[0] != "#")
    return [(key.strip(), value.strip()) for key, _, value in rows]


def _thing(
    entry: str, kind: str, *, held_out: bool = False, init_word: str = "", reason: str = ""
) -> Thing:
    article = not entry.endswith("*")
    icon, _, name = entry.rstrip("*").partition("=")
    name = name or icon.replace("-", " ")
    return Thing(icon, name, kind, article, held_out, init_word, reason)


def known_things() -> list[Thing]:
    """The names that the base model is trained on and measured with."""
    return [
        _thing(entry.strip(), kind)
        for kind, entries in _lines("names.txt")
        for entry in entries.split(",")
    ]


def held_out_things() -> list[Thing]:
    """The forty names that only the similarity model may see."""
    found = []
    for entry, value in _lines("heldout.txt"):
        if entry in ("near", "words"):
            continue
        kind, init_word, reason = (part.strip() for part in value.split(";"))
        found.append(_thing(entry, kind, held_out=True, init_word=init_word, reason=reason))
    return found


def icons_of(style: Style) -> list[str]:
    """The icons that the recipe uses of an extra set or of one of SHAPES.

    None of them looks like a held-out thing or has its name.
    """
    text = (_FOLDER / "sets" / f"{style.package}.txt").read_text(encoding="utf-8")
    return text.split()


def name_of(style: Style, icon: str) -> str:
    """What an icon of an extra set shows: its name without variants and numbers.

    For clip art it is the first word of the file's name.
    """
    if style.word == "clipart":
        words: list[str] = re.findall("[a-z]+", icon.rpartition("/")[2].lower())
        return words[0]
    return re.sub(r"(-(duo|flat|fill|color|duotone|\d+))+$", "", icon)


def simplified(name: str) -> str:
    """The name's letters and digits in lower case; names are compared by it."""
    return re.sub("[^a-z0-9]", "", name)


def further_things() -> list[Thing]:
    """What extra sets show beside the known and the listed extra things."""
    named = [*known_things(), *extra_things()]
    there = {simplified(name) for t in named for name in (t.icon, t.name)}
    found = []
    for style in STYLES:
        for name in [name_of(style, icon) for icon in icons_of(style)] if style.extra else []:
            if simplified(name) not in there:
                there.add(simplified(name))
                found.append(replace(_thing(name, ""), extra=True))
    return found


def held_out_words() -> frozenset[str]:
    """Words that may not be in the name of an icon from an extra set or from SHAPES."""
    (words,) = (value for entry, value in _lines("heldout.txt") if entry == "words")
    return frozenset(word.strip() for word in words.split(","))


def extra_things() -> list[Thing]:
    """The names in more.txt; with them the model learns to draw more than the known things."""
    text = (_FOLDER / "more.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    entries = [entry.strip() for entry in " ".join(lines).split(",")]
    return [replace(_thing(entry, ""), extra=True) for entry in entries]


def all_things() -> list[Thing]:
    """Every name, in the order of the drawings' indices: known, held out, then extra ones."""
    return known_things() + held_out_things() + extra_things() + further_things()
