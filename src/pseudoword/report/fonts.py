"""Fonts for labels in any script: the first installed font that has all the letters."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from PIL import ImageFont

from pseudoword.process_wide import ProcessWide, without_warnings

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FONT_NAMES = (
    *("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR"),
    *("Noto Sans Thai", "Noto Sans Devanagari", "Noto Sans Arabic", "WenQuanYi Zen Hei"),
    *("Droid Sans Fallback", "Arial Unicode MS", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("Leelawadee UI", "Nirmala UI", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo"),
    *("Thonburi", "Unifont"),
)
"""DejaVu comes with matplotlib; the others are common on Linux, Windows and macOS."""

MAX_LABEL_CHARS = 400
"""Longer labels are cut off."""


def font(text: str, size_px: int) -> Font:
    """A font that has all letters of `text`; or else Pillow's own, which draws boxes for some."""
    if not text.isascii():
        letters = {ord(letter) for letter in text if not letter.isspace()}
        for path, known in _installed():
            if letters <= known:
                return ImageFont.truetype(path, size_px)
    return ImageFont.load_default(size_px)


def fitted(whole: str, letters: Font, width_px: int) -> str:
    """As much of `whole` as fits, with "…" at the end if it is cut off."""
    text = whole[:MAX_LABEL_CHARS]
    if text == whole and letters.getlength(text) <= width_px:
        return text
    while text and letters.getlength(f"{text}…") > width_px:
        text = text[:-1]
    return f"{text}…"


def wrapped(text: str, letters: Font, width_px: int) -> str:
    """`text` in lines that fit. A word that is too long is not cut."""
    lines: list[str] = []
    for word in text[:MAX_LABEL_CHARS].split():
        if lines and letters.getlength(f"{lines[-1]} {word}") <= width_px:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


@contextmanager
def _all_fonts() -> Iterator[None]:
    import matplotlib
    from matplotlib import font_manager

    here = set(font_manager.get_font_names())
    families = [name for name in FONT_NAMES if name in here]
    with without_warnings, matplotlib.rc_context({"font.family": families}):
        yield


any_script = ProcessWide(_all_fonts)
"""A context in which matplotlib uses all installed fonts, and does not warn of missing letters."""


@cache
def _installed() -> list[tuple[str, frozenset[int]]]:
    """Path of each installed font, and its letters."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    here = set(font_manager.get_font_names())
    paths = [font_manager.findfont(name) for name in FONT_NAMES if name in here]
    return [(path, frozenset(FT2Font(path).get_charmap())) for path in paths]
