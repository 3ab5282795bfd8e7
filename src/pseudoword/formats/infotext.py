"""The settings of a generated picture, as the text that AUTOMATIC1111's "PNG info" reads.

The prompt, then `Negative prompt: …`, then one line of `Name: value` pairs; values that hold a
comma or a colon are JSON strings.
"""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image as PillowImage
from PIL.ExifTags import IFD, Base
from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from pseudoword.errors import PictureError

KEYWORD = "parameters"
"""Name of the PNG text chunk."""

SCHEDULE, KARRAS = "Schedule type", "Karras"
"""The name of the sampler's noise levels, and one value. Before AUTOMATIC1111 1.9, the value stood
behind the sampler: `DPM++ 2M Karras`."""

_PAIR = re.compile(r'\s*(\w[\w \-/]{0,60}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
"""A name and a value of the last line. The name is bounded: long text without a colon takes no time
that grows with its square."""

_NEGATIVE = "Negative prompt:"

LONGEST = 100_000
"""Characters that are read."""


@dataclass(frozen=True)
class Infotext:
    """The parts of an infotext."""

    prompt: str
    negative: str
    values: Mapping[str, str]


def infotext(prompt: str, negative: str, values: Mapping[str, object]) -> str:
    """The text for one picture; `values` are written in their order."""
    pairs = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in values.items())
    lines = [prompt, *([f"{_NEGATIVE} {negative}"] if negative else []), pairs]
    return "\n".join(lines)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(c in value for c in ",:\n") else value


def png_text(picture: Image) -> PngInfo:
    """The PNG text chunks for `picture`: its infotext, if it has one."""
    chunks = PngInfo()
    if KEYWORD in picture.info:
        text = picture.info[KEYWORD].encode("utf-8", "backslashreplace").decode()
        chunks.add_text(KEYWORD, text)
    return chunks


def read_infotext(data: bytes, name: str) -> Infotext:
    """Read the infotext of a picture file; the picture itself is not decoded.

    Args:
        data: the bytes of a PNG, JPEG or WebP.
        name: the file's name, for error messages.

    Raises:
        PictureError: it is another kind of file, or has no infotext.
    """
    try:
        with PillowImage.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as opened:
            text = opened.info.get(KEYWORD)
            if text is None:
                comment = opened.getexif().get_ifd(IFD.Exif).get(Base.UserComment, b"")
                text = _of_exif(comment) if isinstance(comment, bytes) else comment
    except Exception as error:  # each decoder has its own errors
        raise PictureError(f"{name} is no readable PNG, JPEG or WebP picture.") from error
    if not isinstance(text, str) or not text.strip():
        raise PictureError(
            f"{name} does not say how it was drawn. Only the original file holds its settings; "
            "most websites remove them."
        )
    return parse(text[:LONGEST])


def parse(text: str) -> Infotext:
    """Split an infotext into its parts."""
    *lines, last = text.strip().split("\n")
    pairs = _PAIR.findall(last)
    if "Steps" not in {name.strip() for name, _ in pairs}:
        lines, pairs = [*lines, last], []
    at = next((i for i, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    negative = "\n".join(lines[at:]).removeprefix(_NEGATIVE)
    values = {name.strip(): _unquoted(value) for name, value in pairs}
    return Infotext("\n".join(lines[:at]).strip(), negative.strip(), values)


def _unquoted(value: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value.strip()
    except ValueError:
        return value.strip()


def _of_exif(comment: bytes) -> str:
    """The text of an EXIF comment; its first eight bytes name the encoding."""
    encoding = "utf-16-be" if comment.startswith(b"UNICODE") else "utf-8"
    return comment[8:].decode(encoding, "replace")
