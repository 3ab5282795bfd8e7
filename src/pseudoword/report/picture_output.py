"""Pictures as files, marked with the command that wrote them.

A command replaces pictures that it wrote itself, and no other file. It knows its own pictures by a
mark in their EXIF data, with a checksum of the pixels.
"""

import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

from PIL import Image

from pseudoword.errors import SettingsError, StorageError
from pseudoword.files import read_regular
from pseudoword.formats.infotext import png_text
from pseudoword.outputs import check_writable, next_free, would_replace, write_new
from pseudoword.text import reason

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Suffix of a file -> Pillow's name of the format to write."""

SOFTWARE = 0x0131
"""The EXIF tag for the program that made a picture."""

LARGEST_NBYTES = 2**30
"""A larger file is not read, and is not one of ours."""


def encode_picture(picture: Image.Image, kind: str, exif: Image.Exif | None = None) -> bytes:
    """`picture` in a format of Pillow's. A PNG keeps the text that says how it was drawn.

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
            f"a picture of {size} pixels cannot be kept as {kind} ({reason(error)}); as PNG it can"
        ) from error
    return buffer.getvalue()


def format_of(path: Path) -> str:
    """The format that the path's ending asks for.

    Raises:
        SettingsError: none.
    """
    if path.suffix.lower() not in FORMATS:
        raise SettingsError(f"--out {path}: give a file that ends in .png, .jpg or .webp")
    return FORMATS[path.suffix.lower()]


def check(path: Path, maker: str, *, overwrite: bool = False) -> None:
    """Find out before any work whether `write` can write, and loses nothing of anyone's.

    Raises:
        SettingsError: the path's ending is that of no picture.
        StorageError: it cannot be written, or is there, not made by `maker`.
    """
    format_of(path)
    check_writable(path)
    if os.path.lexists(path) and not (overwrite or _made_by(path, maker)):
        raise StorageError(would_replace([path]))


def next_path(first: Path, maker: str) -> Path:
    """`first`, or the same name with the first number behind it, that is free or `maker`'s."""
    return next_free(first, lambda path: [] if _made_by(path, maker) else [path])


def write(picture: Image.Image, path: Path, maker: str, *, overwrite: bool = False) -> None:
    """Write a picture that tells who made it, over nothing but an earlier one of the same maker.

    Raises:
        StorageError: it cannot be written, or something else is there.
    """
    kind = format_of(path)
    with Image.open(io.BytesIO(encode_picture(picture, kind)), formats=[kind]) as as_kept:
        exif = Image.Exif()
        exif[SOFTWARE] = _mark(as_kept, maker)
    ours = overwrite or _made_by(path, maker)
    write_new(path, encode_picture(picture, kind, exif), overwrite=ours)


def _made_by(path: Path, maker: str) -> bool:
    """Whether a picture is just as `maker` has written it."""
    try:
        data = io.BytesIO(read_regular(path, LARGEST_NBYTES, StorageError))
        kinds = sorted({*FORMATS.values()})
        ignored = warnings.catch_warnings(action="ignore")  # of what else is in it
        with ignored, Image.open(data, formats=kinds) as picture:
            return bool(picture.getexif().get(SOFTWARE) == _mark(picture, maker))
    except Exception:  # no picture of ours, whatever it is
        return False


def _mark(picture: Image.Image, maker: str) -> str:
    digest = hashlib.blake2b(picture.convert("RGB").tobytes(), digest_size=16)
    return f"pseudoword {maker} {digest.hexdigest()}"
