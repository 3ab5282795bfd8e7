"""Text out of files, cut to what a sentence has room for."""

from pseudoword.text import visible


def shown(text: str, most: int) -> str:
    """At most `most` characters of `text`, on one line, and nothing that steers a terminal."""
    line = visible(" ".join(text[: 4 * most].split()))
    return line if len(line) <= most and len(text) <= 4 * most else f"{line[: most - 1]}…"
