"""Text out of files, made fit to be shown."""

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """`text` with a mark in place of every character that cannot be seen, such as those that move a
    cursor."""
    return "".join(letter if letter.isprintable() else _UNKNOWN for letter in text)


def shown(text: str, most: int) -> str:
    """At most `most` characters of `text`, on one line, and clean."""
    line = clean(" ".join(text[: 4 * most].split()))
    return line if len(line) <= most and len(text) <= 4 * most else f"{line[: most - 1]}…"
