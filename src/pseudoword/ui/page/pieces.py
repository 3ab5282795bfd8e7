"""Small pieces of the page as HTML. All text that comes from people or files is escaped here."""

from collections.abc import Iterable
from html import escape
from typing import Literal

from pseudoword.text import visible
from pseudoword.ui.page.forms import in_words

Tone = Literal["plain", "warning", "error", "good"]

MOST_NOTES = 6
"""Whoever drops a folder of photos may be told of each."""


def text(value: object) -> str:
    """`value` as HTML that shows it, whatever is in it."""
    return escape(visible(value), quote=True)


def note(message: str, tone: Tone = "plain") -> str:
    """One message; several lines are several paragraphs."""
    role = ' role="alert"' if tone == "error" else ' role="status"'
    lines = "<br>".join(map(text, in_words(message).splitlines()))
    return f'<div class="note {tone}"{role}>{lines}</div>' if message else ""


def notes(messages: Iterable[str], tone: Tone = "plain") -> str:
    """Several messages, each once; of many, the first are seen, and the rest when it is pressed."""
    found = [note(message, tone) for message in dict.fromkeys(messages) if message]
    most = MOST_NOTES if len(found) > MOST_NOTES + 1 else len(found)
    seen, rest = "".join(found[:most]), "".join(found[most:])
    more = f"<summary>{len(found) - most} more like these</summary>"
    return f'{seen}<details class="note {tone}">{more}{rest}</details>' if rest else seen


def bar(what: str, done: int, total: int, when: str) -> str:
    """How far something has got, for eyes and for screen readers."""
    percent = 100 * done / total if total else 0.0
    return (
        f'<div class="told"><span class="what">{text(what)}</span>'
        f'<span class="when">{text(when)}</span></div>'
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent:.0f}" aria-label="{text(what)}">'
        f'<div style="width:{percent:.1f}%"></div></div>'
    )


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Names and values."""
    cells = (f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in rows)
    return f'<table class="facts">{"".join(cells)}</table>'


def size(nbytes: float) -> str:
    """Roughly: `750 MB`, `3.2 GB`."""
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.0f} MB"
