"""Prompt templates: the sentences a new word is learned in.

`[name]` stands for the placeholder and `[filewords]` for the picture's own caption, as in
AUTOMATIC1111's template files. Neutral sentences around the word, so that the word learns the
subject and not the sentence, are the idea of Gal et al. 2022 (arXiv 2208.01618).
"""

from pathlib import Path

from pseudoword.errors import SettingsError

OBJECT = (
    "[name]",
    "a [name]",
    "a photo of [name]",
    "a photo of a [name]",
    "a picture of a [name]",
    "a picture of the [name]",
    "a photo of my [name]",
    "a photo of one [name]",
    "a close-up of a [name]",
    "a bright photo of the [name]",
    "a cropped photo of the [name]",
    "a good picture of a [name]",
    "a drawing of a [name]",
    "a rendering of a [name]",
    "an image of the [name]",
    "an icon of a [name]",
)

STYLE = (
    "in the style of [name]",
    "a picture in the style of [name]",
    "a photo in the style of [name]",
    "a painting in the style of [name]",
    "a drawing in the style of [name]",
    "a rendering in the style of [name]",
    "an icon in the style of [name]",
    "a [name] picture",
    "a [name] painting",
    "a [name] drawing",
    "a [name] icon",
    "a small picture in the style of [name]",
)

MINIMAL = ("[name]", "a [name]", "a photo of [name]")

CAPTIONED = (
    "a [name] [filewords]",
    "a photo of a [name] [filewords]",
    "a picture of a [name] [filewords]",
    "a picture of the [name] [filewords]",
    "a drawing of a [name] [filewords]",
    "an image of my [name] [filewords]",
    "an icon of one [name] [filewords]",
)
"""For pictures whose captions say what is *not* the subject (style, background), so that the word
need not hold it."""

SETS = {"object": OBJECT, "style": STYLE, "minimal": MINIMAL, "captioned": CAPTIONED}


def templates(name: str) -> tuple[str, ...]:
    """The templates of the set called `name` (see `SETS`), or of a file with one per line.

    Raises:
        SettingsError: there is no such set or file, or a line has no `[name]`.
    """
    if name in SETS:
        return SETS[name]
    path = Path(name)
    if not path.is_file():
        raise SettingsError(
            f"--template {name!r} is neither one of {', '.join(SETS)} nor a file of templates"
        )
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--template {name}: cannot be read as UTF-8 text ({error})") from error
    kept = tuple(line for line in lines if line)
    for number, line in enumerate(lines, 1):
        if line and "[name]" not in line:
            raise SettingsError(f"{path}, line {number}: no [name] in {line!r}")
    if not kept:
        raise SettingsError(f"--template {name}: the file is empty; write one sentence per line")
    return kept


def render(template: str, placeholder: str, filewords: str = "") -> str:
    """Fill in `[name]` and `[filewords]`."""
    return template.replace("[name]", placeholder).replace("[filewords]", filewords).strip()
