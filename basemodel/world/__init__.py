"""The world's names, held-out concepts and sets, read from the text files beside this one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Style:
    """One icon set: the word captions use for it, its package and where its licence stands."""

    word: str
    package: str
    version: str
    licence: str
    author: str
    held_out: bool = False
    extra: bool = False
    """It only widens what is drawn in training: nothing is asked about it."""


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
"""The held-out style is EmojiOne 2: near enough to the flat sets to be learnable from a few
pictures, yet with outlines and shading of its own. Of an extra set only the icons listed in
`sets/` are used, each by its own name; the last one is Debian's package, the others Iconify's."""

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
"""Sets that no caption names: seen only through words made from drawings. The first one's icons,
black on nothing, are known things; such words also name its style."""


def asked_styles() -> list[str]:
    """The words of the styles that prompts and probes ask for: neither held out nor extra."""
    return [style.word for style in STYLES if not style.held_out and not style.extra]


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
        if entry in ("near", "words"):
            continue
        kind, start, reason = (part.strip() for part in value.split(";"))
        found.append(_thing(entry, kind, held_out=True, start=start, reason=reason))
    return found


def icons_of(style: Style) -> list[str]:
    """The icons of an extra set, or of one of SHAPES, that the recipe uses. Whatever looks like,
    or is named after, something held out is not among them."""
    text = (_FOLDER / "sets" / f"{style.package}.txt").read_text(encoding="utf-8")
    return text.split()


def name_of(style: Style, icon: str) -> str:
    """What an extra set's icon shows: its name without variants and numbers, or the first word of
    a file of clip art."""
    if style.word == "clipart":
        words: list[str] = re.findall("[a-z]+", icon.rpartition("/")[2].lower())
        return words[0]
    return re.sub(r"(-(duo|flat|fill|color|duotone|\d+))+$", "", icon)


def plain(name: str) -> str:
    """By which names are compared: small letters and digits alone."""
    return re.sub("[^a-z0-9]", "", name)


def further_things() -> list[Thing]:
    """What extra sets show beside all that has a name already."""
    named = [*known_things(), *extra_things()]
    there = {plain(spelt) for t in named for spelt in (t.icon, t.words)}
    found = []
    for style in STYLES:
        for name in [name_of(style, icon) for icon in icons_of(style)] if style.extra else []:
            if plain(name) not in there:
                there.add(plain(name))
                found.append(replace(_thing(name, ""), extra=True))
    return found


def held_out_words() -> frozenset[str]:
    """Words that no name may have which is used of an extra set or of SHAPES."""
    (words,) = (value for entry, value in _lines("heldout.txt") if entry == "words")
    return frozenset(word.strip() for word in words.split(","))


def extra_things() -> list[Thing]:
    """Names that the base model is trained on beside the known ones, to draw more than those."""
    text = (_FOLDER / "more.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    entries = [entry.strip() for entry in " ".join(lines).split(",")]
    return [replace(_thing(entry, ""), extra=True) for entry in entries]


def all_things() -> list[Thing]:
    """Every name, in the order that drawings refer to: known, held out, then what only widens."""
    return known_things() + held_out_things() + extra_things() + further_things()
