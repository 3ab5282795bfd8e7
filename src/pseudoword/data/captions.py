"""The sentences a new word is learned in: templates, and the pictures' own captions.

`[name]` stands for the placeholder and `[filewords]` for the picture's own caption, as in
AUTOMATIC1111's template files. Neutral sentences around the word, so that the word learns the
subject and not the sentence, are the idea of Gal et al. 2022 (arXiv 2208.01618).
"""

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from pseudoword import lookup
from pseudoword.config.captions import CaptionSettings
from pseudoword.config.fields import flag
from pseudoword.data import picture_files
from pseudoword.errors import PictureError, SettingsError
from pseudoword.files import read_regular
from pseudoword.placeholders import undelimited
from pseudoword.text import brief

LARGEST_NBYTES = 1_000_000
"""A larger text is no caption, nor a file of templates."""

_LEADING_DIGITS = re.compile(r"^[-\d]+\s*")

SUBJECT = (
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

TEMPLATE_SETS = {"subject": SUBJECT, "style": STYLE, "minimal": MINIMAL, "captioned": CAPTIONED}


def templates(name: str) -> tuple[str, ...]:
    """The templates of the set called `name` (see `TEMPLATE_SETS`), or of a file with one per line.

    Raises:
        SettingsError: there is no such set or file, or a line has no `[name]`.
    """
    if name in TEMPLATE_SETS:
        return TEMPLATE_SETS[name]
    path = lookup.find(name, "--template")
    if isinstance(path, Path):
        return _from_file(path)
    raise SettingsError(
        f"--template {brief(name)} is neither one of {', '.join(TEMPLATE_SETS)} nor a file of "
        "templates"
    )


def _from_file(path: Path) -> tuple[str, ...]:
    data = read_regular(path, LARGEST_NBYTES, SettingsError)
    try:
        lines = [line.strip() for line in decode_text(data).splitlines()]
    except UnicodeError as error:
        raise SettingsError(f"--template {path}: cannot be read as UTF-8 text ({error})") from error
    kept = tuple(line for line in lines if line)
    for number, line in enumerate(lines, 1):
        if line and "[name]" not in line:
            raise SettingsError(f"{path}, line {number}: no [name] in {line!r}")
    if not kept:
        raise SettingsError(f"--template {path}: the file is empty; write one sentence per line")
    return kept


def without_effect(how: CaptionSettings, templates: Sequence[str]) -> list[str]:
    """A sentence for each setting of captions that `templates` make nothing of."""
    if any("[filewords]" in template for template in templates):
        return []
    return [
        f"{flag(name)} has no effect with --template {brief(how.template)}: none of its sentences "
        "has [filewords] in it"
        for name in CaptionSettings.model_fields
        if name != "template" and getattr(how, name)
    ]


def render(template: str, placeholder: str, filewords: str = "") -> str:
    """Fill in `[filewords]` and `[name]`; a caption that holds `[name]` gets the word there too.

    Spaces and commas that an empty caption leaves at either end go with it.
    """
    words = undelimited(template).replace("[filewords]", undelimited(filewords))
    if not filewords:
        words = words.strip(" ,")
    return words.replace("[name]", placeholder).strip()


def filewords(picture: Path) -> str:
    """A picture's own caption: its caption file on one line, else its name without an ending.

    Digits and dashes that a name begins with are left out, and nothing else, as AUTOMATIC1111 does
    it. An empty file is an empty caption. Bytes of a name that are no text become question marks.

    Raises:
        PictureError: the file is not text; the message names it.
    """
    beside = picture_files.caption_files(picture)
    if not beside:
        return _LEADING_DIGITS.sub("", picture.stem.encode(errors="replace").decode())
    data = read_regular(beside[0], LARGEST_NBYTES, PictureError)
    try:
        text = decode_text(data)
    except UnicodeError as error:
        raise PictureError(
            f"{beside[0]}: the caption is not UTF-8 text ({error}). Save it as UTF-8."
        ) from error
    return " ".join(text.split())


def note_unused(
    pictures: Sequence[Path], templates: Sequence[str], note: Callable[[str], None]
) -> None:
    """Say which captions are not used."""
    beside = [files for files in map(picture_files.caption_files, pictures) if files]
    if beside and not any("[filewords]" in template for template in templates):
        note(
            f"these sentences do not use the pictures' captions ({len(beside)} of "
            f"{len(pictures)} have one); --template captioned does"
        )
        return
    several = [files for files in beside if len(files) > 1]
    if several:
        read, *others = (file.name for file in several[0])
        note(
            f"of two captions of one picture ({len(several)} of {len(pictures)} have two) the .txt "
            f"is read: {read}, not {others[0]}"
        )


def decode_text(data: bytes) -> str:
    """Text as editors save it: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises:
        UnicodeError: it is something else.
    """
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if marked else "utf-8-sig")
    if "\0" in text:
        raise UnicodeError("it holds zero bytes")
    return text


def augment(filewords: str, how: CaptionSettings, seed: int) -> str:
    """A caption as one sample sees it: tags shuffled, some or all left out, as `seed` decides.

    The first `how.keep_tags` tags hold their place. Unlike kohya's scripts, where a dropped caption
    is an empty prompt, only `[filewords]` becomes empty here: a prompt without the word would have
    nothing to teach it.
    """
    source = random.Random(seed)
    if source.random() < how.drop_caption:
        return ""
    if not how.shuffle_tags and not how.drop_tags:
        return filewords
    tags = [tag for tag in map(str.strip, filewords.split(",")) if tag]
    kept, rest = tags[: how.keep_tags], tags[how.keep_tags :]
    rest = [tag for tag in rest if source.random() >= how.drop_tags]
    if how.shuffle_tags:
        source.shuffle(rest)
    return ", ".join([*kept, *rest])
