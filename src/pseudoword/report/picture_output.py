"""Pictures as files, marked with the command that wrote them.

A command replaces pictures that it wrote itself, and no other file. It knows its own pictures by a
mark in their EXIF data, with a checksum of the pixels.
"""

import contextlib
import hashlib
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

from pseudoword.config.written_files import PICTURE_FORMATS, picture_format
from pseudoword.errors import SettingsError, StorageError
from pseudoword.files import patiently, read_regular
from pseudoword.formats.infotext import png_text
from pseudoword.outputs import check_writable, next_free, would_replace, write_new
from pseudoword.process_wide import without_warnings
from pseudoword.text import reason

SOFTWARE = 0x0131
"""The EXIF tag for the program that made a picture."""

OURS = "pseudoword"
"""How that tag begins in pictures of ours."""

LARGEST_NBYTES = 2**30
"""A larger file is not read, and is not one of ours."""


def encode_picture(picture: Image.Image, kind: str, exif: Image.Exif | None = None) -> bytes:
    """Encode a picture. A PNG keeps its infotext: how it was drawn.

    Args:
        picture: the picture.
        kind: Pillow's name of the format.
        exif: EXIF data to add.

    Raises:
        SettingsError: the format cannot hold a picture of this size.
    """
    buffer = io.BytesIO()
    options: dict[str, Any] = {"pnginfo": png_text(picture)} if kind == "PNG" else {}
    try:
        picture.save(buffer, kind, **options, **({"exif": exif} if exif else {}))
    except (OSError, ValueError) as error:
        size = f"{picture.width} x {picture.height}"
        raise SettingsError(
            f"a picture of {size} pixels cannot be saved as {kind} ({reason(error)}); use PNG"
        ) from error
    return buffer.getvalue()


def check(path: Path, maker: str, *, overwrite: bool = False) -> None:
    """Check before any work that `write` can write here.

    Args:
        path: of the picture.
        maker: the command that writes it: with its inputs (`outputs.maker_of`), or whatever those
            were.
        overwrite: whether it may replace a file of anyone else.

    Raises:
        SettingsError: no picture format has this suffix.
        StorageError: the path cannot be written, or there is a file that `maker` did not write.
    """
    picture_format(path)
    check_writable(path)
    if os.path.lexists(path) and not (overwrite or _made_by(path, maker)):
        raise StorageError(would_replace([path]))


def next_path(first: Path, maker: str) -> Path:
    """The first of `NAME`, `NAME-2`, `NAME-3` … that is free, or was written by `maker`."""
    return next_free(first, lambda path: [] if _made_by(path, maker) else [path])


def write(
    picture: Image.Image, path: Path, maker: str, *, overwrite: bool = False, replace: bool = True
) -> None:
    """Write a picture with its maker's mark. Replaces only pictures of the same maker.

    Args:
        picture: the picture.
        path: the file.
        maker: as for `check`.
        overwrite: whether it may replace a file of anyone else.
        replace: whether it may replace a file at all.

    Raises:
        StorageError: the path cannot be written, or there is another file.
    """
    kind = picture_format(path)
    with Image.open(io.BytesIO(encode_picture(picture, kind)), formats=[kind]) as decoded:
        exif = Image.Exif()
        exif[SOFTWARE] = f"{OURS} {maker} {_digest(decoded)}"
    ours = replace and (overwrite or _made_by(path, maker))
    write_new(path, encode_picture(picture, kind, exif), overwrite=ours)


def remove(path: Path, maker: str) -> None:
    """Remove a picture that `maker` wrote, if it is still there and nobody has changed it."""
    if _made_by(path, maker):
        with contextlib.suppress(OSError):
            patiently(path.unlink)


def _made_by(path: Path, maker: str) -> bool:
    """Whether the file is a picture that `maker` wrote and nobody has changed."""
    try:
        data = io.BytesIO(read_regular(path, LARGEST_NBYTES, StorageError))
        kinds = sorted({*PICTURE_FORMATS.values()})
        with without_warnings, Image.open(data, formats=kinds) as picture:
            mark = str(picture.getexif().get(SOFTWARE))
            return mark.startswith(f"{OURS} {maker} ") and mark.endswith(f" {_digest(picture)}")
    except Exception:  # whatever it is, it is not one of ours
        return False


def _digest(picture: Image.Image) -> str:
    return hashlib.blake2b(picture.convert("RGB").tobytes(), digest_size=16).hexdigest()
