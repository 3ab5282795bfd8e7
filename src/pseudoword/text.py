"""Text made fit for where it goes: a terminal, a file that is shared, Markdown, a shell.

Names, captions, metadata and messages of other libraries come from files that anybody may have
made. They are kept as they are inside, and pass through here on their way out.
"""

import difflib
import json
import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # escape sequences, backspaces, bells
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"  # what turns text round, parts it, or is not seen
    "\ud800-\udfff]"  # bytes of a name that are no text
)
"""Characters that do something instead of being seen. Spaces of all kinds and the joiners that
scripts and emoji are made with are none of them."""

_BEGINNING = r"(?:file:/+|~[\w.-]*[/\\]|[A-Za-z]:[/\\]|\\\\(?=\w)|\.\.?[/\\]|/(?=[^/\s]+/))"
"""How a path on a machine begins: `/x/`, `~/`, `C:\\`, `\\\\server`, `../`."""
_IS_PATH = re.compile(_BEGINNING, re.IGNORECASE)
_PATH_INSIDE = re.compile(
    rf'(?<![\w:/.~\\-]){_BEGINNING}(?:[^\n";,]|,(?! )|,(?=[^\n";,/\\]*\w[/\\]))*+', re.IGNORECASE
)
"""From where a path begins in a sentence to the end of the clause, since names may have spaces in
them, and commas too where a folder follows."""

_MARKDOWN = re.compile(r"[\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w)")
_PLAIN_ARGUMENT = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_PLAIN_ON_WINDOWS = re.compile(r"[\w+=:./\\-]+", re.ASCII)  # for PowerShell, @ and , mean something
WINDOWS = os.name == "nt"


def visible(text: object, *, lines: bool = False) -> str:
    r"""`text` with what would steer a terminal spelled out, as `\x1b`; nothing else changes.

    Args:
        text: anything; what is no string is shown as one.
        lines: whether it may be of several lines.
    """
    return _STEERING.sub(lambda found: _spelled(found[0], lines), str(text))


def _spelled(letter: str, lines: bool) -> str:
    if lines and letter == "\n":
        return letter
    byte = ord(letter) - 0xDC00
    if 0x80 <= byte <= 0xFF:  # how Python holds a byte of a file name that is no text
        return f"\\x{byte:02x}"
    return letter.encode("unicode_escape").decode()


def without_middle(text: str, most: int = 2000) -> str:
    """`text` without its middle, if it has more characters than anyone would read."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


_LONGEST_PATH = 400
"""Characters of a path that are shown: what is wrong with one may be anywhere in it."""


def brief(value: object, most: int = 100) -> str:
    """`value` as it can stand in a sentence: on one line, nothing that steers, not too long."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # Python does not write numbers of thousands of digits
        return "a number of thousands of digits"
    may_be_path = "/" in text or "\\" in text
    return visible(without_middle(text, max(most, _LONGEST_PATH) if may_be_path else most))


def reason(error: BaseException) -> str:
    """What a library says went wrong, as far as it can stand in a sentence of ours."""
    first, *_ = str(error).strip().split("\n\n")
    return brief(" ".join(first.split()), 300).rstrip(".") or type(error).__name__


def listed(items: Iterable[object], most: int = 3) -> str:
    """The first few items of a list, and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def counted(count: int, noun: str) -> str:
    """`1 word`, `3 words`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of `known` that was meant by `name`, perhaps; empty if none is nearly so called."""
    known = list(known)
    very, fairly = (difflib.get_close_matches(name[:100], known, 1, least) for least in (0.8, 0.7))
    parts = [one for one in known if one in name.split("_")]  # `num_steps` means `steps`
    longer = [one for one in known if len(name) > 2 and one.startswith(name)]
    return next(iter([*very, *parts, *longer, *fairly]), "")


def public(text: str) -> str:
    """`text` as it may stand in a file that is shared: of a path on a machine, the last part only.

    A hub id, a word or a sentence stays what it is; so does a URL that is no `file:`.
    """
    if os.path.lexists(text):
        shown = Path(os.path.abspath(text)).name  # noqa: PTH100 - a link's own name, not its target's
    elif _IS_PATH.match(text):
        shown = _last_part(text)
    else:
        shown = _PATH_INSIDE.sub(lambda found: _last_part(found[0]), text)
    return visible(shown)


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def public_values(value: Any) -> Any:
    """`public` for every text in nested lists and mappings."""
    if isinstance(value, str):
        return public(value)
    if isinstance(value, Mapping):
        return {key: public_values(inside) for key, inside in value.items()}
    if isinstance(value, Sequence):
        return [public_values(inside) for inside in value]
    return value


def vector_sizes(vectors: Mapping[str, tuple[int, int]]) -> str:
    """How many vectors a word has and how wide they are, by text encoder: `clip_l 3 × 768`.

    Those for each layer of a denoiser (`clip_l.IN01`) are counted, not listed.
    """
    layers: dict[tuple[str, int, int], int] = {}
    for key, (n, width) in vectors.items():
        encoder, dot, _ = key.partition(".")
        layers[encoder, n, width] = layers.get((encoder, n, width), 0) + bool(dot)
    return ", ".join(
        f"{encoder} {n} × {width}" + _for_layers(count, encoder in vectors)
        for (encoder, n, width), count in layers.items()
    )


def _for_layers(count: int, also_all: bool) -> str:
    """What vectors are for, if it is layers of a denoiser."""
    if not count:
        return ""
    return f" for {'all and ' if also_all else ''}each of {count} layers"


def decode_text(data: bytes) -> str:
    """Decode UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises:
        UnicodeError: the text has another encoding.
    """
    utf_16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if utf_16 else "utf-8-sig")
    if "\0" in text:
        raise UnicodeError("it holds zero bytes")
    return text


def markdown(text: object) -> str:
    """`text` as one line of a Markdown page, every letter seen as it is."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(visible(text, lines=True).split()))


def code(lines: str, language: str = "") -> str:
    """A Markdown block of code that nothing in it can end."""
    shown = visible(lines, lines=True)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"


def command(*arguments: object) -> str:
    """A command line to paste into a shell of this system; each argument stays one."""
    quoted = _on_windows if WINDOWS else _argument
    return " ".join(quoted(str(one)) for one in arguments)


def _on_windows(text: str) -> str:
    """An argument for cmd and PowerShell, and for how programs take their command line apart.

    In cmd single quotes are letters; in PowerShell $ and ` mean something in double ones.
    """
    if _PLAIN_ON_WINDOWS.fullmatch(text):
        return text
    if "$" in text or "`" in text:
        return "'" + text.replace("'", "''") + "'"
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', text)  # a backslash before a quote doubles
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


def _argument(text: str) -> str:
    if _PLAIN_ARGUMENT.fullmatch(text):
        return text
    if not set(text) & set('"$`\\!\n'):
        return f'"{text}"'  # which every shell reads alike
    return shlex.quote(text)


def json_text(value: Any) -> str:
    """Indented JSON in ASCII, so that no terminal and no locale is in its way.

    Numbers that JSON has no word for become null.
    """
    return json.dumps(_finite(value), indent=2)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inside) for inside in value]
    return value


def duration(seconds: float) -> str:
    """Roughly: `40 s`, `3 min`, `1 h 20 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def version() -> str:
    """The version of this package; it has none if it is run from its source folder."""
    from importlib import metadata

    try:
        return metadata.version("pseudoword")
    except metadata.PackageNotFoundError:
        return "not installed"
