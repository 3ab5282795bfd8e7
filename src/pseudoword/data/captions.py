"""Prompts to train with: templates, and the pictures' own captions.

`[name]` stands for the placeholder and `[filewords]` for the picture's own caption, as in
AUTOMATIC1111's template files. Templates are neutral sentences, so that the word learns the subject
and not the sentence (Gal et al. 2022, arXiv 2208.01618).
"""

import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pseudoword.config.captions import FILEWORDS, CaptionSettings, template_file
from pseudoword.config.fields import flag
from pseudoword.data import picture_files
from pseudoword.data.caption_lists import listed_caption, lists_without_effect
from pseudoword.errors import PictureError, SettingsError
from pseudoword.files import read_regular
from pseudoword.placeholders import undelimited
from pseudoword.progress import Note
from pseudoword.text import brief, decode_text, listed

LARGEST_NBYTES = 1_000_000
"""A larger caption or template file is not read."""

ELSEWHERE = ("{}", "<embedding>", "[trigger]")
"""How sentences of other trainers write `[name]`; the second is OneTrainer's, the third
ai-toolkit's."""

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
"""For pictures whose captions name what is *not* the subject (style, background), so that the word
does not learn it."""

TEMPLATE_SETS = {"subject": SUBJECT, "style": STYLE, "minimal": MINIMAL, "captioned": CAPTIONED}


def templates(name: str) -> tuple[str, ...]:
    """The templates of a set in `TEMPLATE_SETS`, or of a file with one template per line.

    A template without `[name]` is one for captions that have the word in them.

    Raises:
        SettingsError: there is no such set or file, or a line has no `[name]` nor `[filewords]`.
    """
    if name == FILEWORDS:
        return ("[filewords]",)
    path = template_file(name)
    return TEMPLATE_SETS[name] if path is None else _from_file(path)


def _from_file(path: Path) -> tuple[str, ...]:
    data = read_regular(path, LARGEST_NBYTES, SettingsError)
    try:
        lines = [line.strip() for line in decode_text(data).splitlines()]
    except UnicodeError as error:
        raise SettingsError(f"--template {path}: cannot be read as UTF-8 text ({error})") from error
    kept = tuple(line for line in lines if line)
    for number, line in enumerate(lines, 1):
        if line and not any(field in line for field in ("[name]", "[filewords]")):
            hint = f". {instead}" if (instead := instead_of_theirs(line)) else ""
            raise SettingsError(f"{path}, line {number}: no [name] in {line!r}{hint}")
    if not kept:
        raise SettingsError(f"--template {path}: the file is empty; write one sentence per line")
    return kept


def use_captions(templates: Iterable[str]) -> bool:
    """Whether the pictures' captions are in any of the prompts."""
    return any("[filewords]" in template for template in templates)


def instead_of_theirs(text: str) -> str:
    """What to write in a sentence of another trainer; nothing if it has no word of theirs."""
    theirs = next((one for one in ELSEWHERE if one in text), None)
    return f"Write [name] instead of {theirs}" if theirs else ""


def without_effect(settings: CaptionSettings, templates: Sequence[str]) -> list[str]:
    """A sentence for each caption setting that has no effect with these templates."""
    if use_captions(templates):
        return []
    return [
        f"{flag(name)} has no effect with --template {brief(settings.template)}: none of its "
        "sentences has [filewords] in it"
        for name in CaptionSettings.model_fields
        if name not in ("template", "words")
        and getattr(settings, name) != CaptionSettings.model_fields[name].default
    ]


def render(template: str, placeholder: str, filewords: str = "") -> str:
    """Fill `[filewords]` and `[name]` into a template; captions may hold `[name]`, too.

    Where the caption is empty, spaces and commas at either end are removed.
    """
    prompt = undelimited(template).replace("[filewords]", undelimited(filewords))
    if not filewords:
        prompt = prompt.strip(" ,")
    return prompt.replace("[name]", placeholder).strip()


def filewords(picture: Path) -> str:
    """A picture's own caption: its caption file, or the text of a list, or else its file name.

    Lines have no spaces around them and no double ones in them; empty ones are left out.

    Of a file name, digits and dashes at the start and the suffix are left out, as in AUTOMATIC1111;
    bytes that are not text become question marks. An empty caption file is an empty caption.

    Raises:
        PictureError: the caption file is not text, or a list is damaged; the message names it.
    """
    files = picture_files.caption_files(picture)
    if not files:
        in_list = listed_caption(picture)
        if in_list is not None:
            return _trimmed(in_list)
        name = _LEADING_DIGITS.sub("", picture.stem.encode(errors="replace").decode())
        return " ".join(name.split())
    data = read_regular(files[0], LARGEST_NBYTES, PictureError)
    try:
        text = decode_text(data)
    except UnicodeError as error:
        raise PictureError(
            f"{files[0]}: the caption is not UTF-8 text ({error}). Save it as UTF-8."
        ) from error
    return _trimmed(text)


def _trimmed(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def variants(filewords: str, settings: CaptionSettings) -> list[str]:
    """All that a picture's caption can be, before tags are shuffled or left out."""
    lines = filewords.split("\n")
    return lines if settings.caption_lines == "random" else [" ".join(lines)]


def always_left_out(settings: CaptionSettings) -> str:
    """The option, with its value, that leaves all captions out of all prompts; empty if none does.

    A prompt that has lost all of its new words gets those of the caption back; one with `[name]`
    in its template never has.
    """
    if settings.drop_caption == 1:
        return "--drop-caption 1"
    return "--drop-tags 1" if settings.drop_tags == 1 and not settings.keep_tags else ""


def note_unused(
    pictures: Sequence[Path],
    templates: Sequence[str],
    settings: CaptionSettings,
    note: Note,
) -> None:
    """Report captions that are not used, or not as in other trainers."""
    for file in lists_without_effect(pictures):
        note(
            f"{file}: nothing in it is the caption of a picture here. It says the file_name, "
            "image or image_path of each, and its text, caption or prompt"
        )
    count = sum(map(has_caption, pictures))
    if count and not use_captions(templates):
        note(
            f"these templates do not use the pictures' captions ({count} of "
            f"{len(pictures)} have one); --template captioned does"
        )
        return
    several = [files for files in map(picture_files.caption_files, pictures) if len(files) > 1]
    if several:
        used, unused, *_ = (file.name for file in several[0])
        note(
            f"{len(several)} of {len(pictures)} pictures have two captions, and the .txt is used: "
            f"{used}, not {unused}"
        )
    of_lines = [
        next(iter(picture_files.caption_files(picture)), picture).name
        for picture in pictures
        if _has_lines(picture)
    ]
    if of_lines and settings.caption_lines == "join":
        note(
            f"{len(of_lines)} of {len(pictures)} captions have several lines, which are read as "
            f"one: {listed(of_lines)}. With --caption-lines random, as in other trainers, one of "
            "the lines is read each time"
        )


def has_caption(picture: Path) -> bool:
    """Whether a picture has a caption that is not the name of its file.

    Raises:
        PictureError: a list of captions is damaged.
    """
    return bool(picture_files.caption_files(picture)) or listed_caption(picture) is not None


def note_file_names(pictures: Sequence[Path], templates: Sequence[str], note: Note) -> None:
    """Report that names of files are used as captions, or nothing is."""
    if not use_captions(templates):
        return
    without = [filewords(picture) for picture in pictures if not has_caption(picture)]
    named = [words for words in without if words]
    if len(without) > len(named):
        note(
            f"{len(without) - len(named)} of {len(pictures)} pictures have no caption, and no "
            "words in the names of their files: [filewords] is empty"
        )
    if named:
        note(
            f"{len(named)} of {len(pictures)} pictures have no caption, so the names of their "
            f"files are used: {brief(named[0])!r}"
        )


def _has_lines(picture: Path) -> bool:
    """Whether a caption is of several lines; one that cannot be read is told later."""
    try:
        return "\n" in filewords(picture)
    except PictureError:
        return False


def augment(filewords: str, settings: CaptionSettings, seed: int) -> str:
    """Choose a line of a caption, shuffle and drop its tags, or drop all of it; `seed` decides.

    The first `keep_tags` tags stay in place. kohya's scripts make the whole prompt empty when a
    caption is dropped. Here only `[filewords]` becomes empty: a prompt without the word could not
    train it.
    """
    source = random.Random(seed)
    if source.random() < settings.drop_caption:
        return ""
    found = variants(filewords, settings)
    chosen = source.choice(found) if len(found) > 1 else found[0]
    if not settings.shuffle_tags and not settings.drop_tags:
        return chosen
    tags = [tag for tag in map(str.strip, chosen.split(",")) if tag]
    kept, rest = tags[: settings.keep_tags], tags[settings.keep_tags :]
    rest = [tag for tag in rest if source.random() >= settings.drop_tags]
    if settings.shuffle_tags:
        source.shuffle(rest)
    return ", ".join([*kept, *rest])
