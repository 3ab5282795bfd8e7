"""Picture files -> upright sRGB pictures, from any format, mode and orientation.

Only the formats named here are tried, because some of Pillow's other formats start other programs.
The memory that a picture needs is known from its header; a picture that needs too much is refused
before it is decoded.
"""

import io
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from pseudoword.data.colour_profiles import to_srgb
from pseudoword.data.decoding_memory import decoding_nbytes
from pseudoword.errors import PictureError
from pseudoword.files import read_regular
from pseudoword.formats.file_kinds import HEAD_NBYTES, describe_bytes
from pseudoword.process_wide import without_warnings
from pseudoword.text import reason

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""The formats that are read; HEIF too, if its library is installed."""

HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
VIDEO_BRANDS = tuple(b"3g avc1 dash f4v iso M4V mmp4 mp4 MSNV qt XAVC".split())
"""How the brands of videos begin; cameras' raw pictures and sounds have others."""
ZIP, MATROSKA, PNG, GIF = b"PK\3\4", b"\x1a\x45\xdf\xa3", b"\x89PNG", b"GIF8"

MAX_FILE_NBYTES = 300_000_000
"""A larger file is not read."""

MAX_DECODING_NBYTES = 380_000_000
"""Memory that decoding may take: 95 million pixels of a PNG, or 54 million of a phone's HEIC."""

LARGE_PX = 1 << 25
"""A picture with more pixels is reduced while it is read, if the caller needs fewer."""

STRIP_PX = 1 << 20
"""Pixels that are converted at a time."""

UNDO_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> how to undo it; from 5 on, width and height are swapped."""


@dataclass(frozen=True)
class OpenedPicture:
    """A decoded picture file."""

    picture: Image.Image
    """upright RGB"""
    alpha: Image.Image | None
    """mode L, of the same size; None if the picture is opaque"""
    size: tuple[int, int]
    """(width, height) of the upright picture in the file"""
    has_more_frames: bool
    """whether the file holds more pictures or frames"""
    reduced: int
    """the file's side divided by the picture's side"""
    recoloured: bool
    """whether its colours were not those of sRGB"""


def open_picture(
    path: Path, background: str = "white", needed_px: int | None = None
) -> Image.Image:
    """Read a picture as upright RGB; of an animation, the first frame.

    Args:
        path: the file.
        background: the colour behind transparent parts, by a name that Pillow knows.
        needed_px: as in `decode`.

    Raises:
        PictureError: the file is not a readable picture; the message names it.
    """
    return decode(read(path), path, background, needed_px).picture


def read(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        PictureError: the file cannot be read, or is not a regular file.
    """
    return read_regular(path, MAX_FILE_NBYTES, PictureError)


def decode(data: bytes, path: Path, background: str, needed_px: int | None = None) -> OpenedPicture:
    """Decode the bytes of a picture file.

    Args:
        data: the bytes.
        path: the file, for messages.
        background: the colour behind transparent parts.
        needed_px: the short side that the caller needs. A large picture is reduced while it is
            read, to no less than twice that, to save memory.

    Raises:
        PictureError: the bytes are not a readable picture; the message names the file.
    """
    try:
        with without_warnings:  # of broken EXIF blocks
            opened = Image.open(io.BytesIO(data), formats=_formats(data, path))
            return _decode(opened, data, path, background, needed_px)
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} is {_what_else(data)}.") from error
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path} is too large to be read. Save it smaller. ({error})") from error
    except Exception as error:  # decoders raise many kinds of errors on damaged bytes
        raise PictureError(
            f"{path} is damaged or unreadable ({reason(error)}). Replace it, or remove it."
        ) from error


def _what_else(data: bytes) -> str:
    """What a file is that is no picture, and what to do."""
    if not data:
        return "empty. Replace it, or remove it"
    if data.startswith(ZIP):
        return "a zip archive. Unpack it, and give its folder"
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if data.startswith(MATROSKA) or brand.startswith(VIDEO_BRANDS):
        return "a video. Save some of its frames as pictures"
    if brand in HEIF_BRANDS | AVIF_BRANDS or data.startswith((PNG, GIF)):
        return "a damaged picture, perhaps not copied as a whole. Replace it, or remove it"
    head = data[:HEAD_NBYTES].lower()
    if b"<svg" in head and b"<html" not in head:
        return "an SVG drawing, which cannot be read. Save it as PNG"
    return describe_bytes(data, "picture") or (
        f"not a picture of a known format ({', '.join(FORMATS)}, HEIC), whatever its name says. "
        "Remove it, or save it as PNG"
    )


def _formats(data: bytes, path: Path) -> tuple[str, ...]:
    """The formats to try; loads the HEIF library if it is needed."""
    if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS:
        return FORMATS
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise PictureError(
            f'{path} is a HEIC picture. Install its library (pip install "pseudoword[heic]"), or '
            "save it as JPEG."
        ) from error
    register_heif_opener()
    return (*FORMATS, "HEIF")


def _decode(
    opened: Image.Image, data: bytes, path: Path, background: str, needed_px: int | None
) -> OpenedPicture:
    size = opened.size
    factor = _reduction(size, needed_px) if math.prod(size) > LARGE_PX else 1
    if factor > 1:  # JPEG's decoder can reduce, by some factors; the rest is done afterwards
        opened.draft(None, (size[0] // factor, size[1] // factor))
        factor = _reduction(opened.size, needed_px)
    drafted = opened.size != size
    nbytes = decoding_nbytes(opened, math.prod(size), factor, data)
    if nbytes > MAX_DECODING_NBYTES:
        raise PictureError(
            f"{path} is too large to be read: its {size[0]} x {size[1]} pixels would take "
            f"{nbytes / 1e6:,.0f} MB of memory. Save it smaller."
        )
    opened.load()
    if not drafted:
        size = opened.size  # Pillow has turned a TIFF upright
    picture, alpha = _to_rgb(opened, background, factor)
    recoloured = to_srgb(picture, opened.info.get("icc_profile"))
    orientation = 1
    with suppress(Exception):  # a broken EXIF block: leave the picture as it is
        orientation = opened.getexif().get(Base.Orientation, 1)
    if orientation in UNDO_ORIENTATION:
        undo = UNDO_ORIENTATION[orientation]
        picture, alpha = picture.transpose(undo), alpha and alpha.transpose(undo)
        size = size[::-1] if orientation >= 5 else size
    reduced = max(1, round(min(size) / min(picture.size)))
    return OpenedPicture(picture, alpha, size, _has_more_frames(opened), reduced, recoloured)


def _has_more_frames(opened: Image.Image) -> bool:
    """Whether it is an animation or has several pages. A camera's preview picture (MPO) does not
    count."""
    with suppress(Exception):
        return opened.format != "MPO" and bool(getattr(opened, "is_animated", False))
    return False


def _reduction(size: tuple[int, int], needed_px: int | None) -> int:
    """The factor that a picture may be reduced by, to no less than twice the needed side."""
    return max(1, min(size) // (2 * needed_px)) if needed_px else 1


def _to_rgb(
    picture: Image.Image, background: str, factor: int
) -> tuple[Image.Image, Image.Image | None]:
    """The picture as RGB and its alpha, both reduced. Works in strips, to save memory."""
    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture.reduce(factor) if factor > 1 else picture, None
    size = (-(-picture.width // factor), -(-picture.height // factor))
    rgb = Image.new("RGB", size)
    alpha = Image.new("L", size) if picture.has_transparency_data else None
    white = _white_level(picture)
    for top, strip in _strips(picture, factor):
        rgb_strip, alpha_strip = _strip_to_rgb(strip, background, white)
        rgb.paste(rgb_strip.reduce(factor), (0, top // factor))
        if alpha is not None and alpha_strip is not None:
            alpha.paste(alpha_strip.reduce(factor), (0, top // factor))
    return rgb, alpha


def _strips(picture: Image.Image, factor: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Horizontal strips with their top edges; their heights are multiples of `factor`."""
    lines = max(1, STRIP_PX // picture.width // factor) * factor
    for top in range(0, picture.height, lines):
        yield top, picture.crop((0, top, picture.width, min(top + lines, picture.height)))


def _strip_to_rgb(
    strip: Image.Image, background: str, white: float
) -> tuple[Image.Image, Image.Image | None]:
    if strip.mode.startswith(("I", "F")):  # 16-bit grey and floats; convert() would clip them
        pixels = _float_pixels(strip)
        eight_bit = (pixels / white * 255).clip(0, 255).astype(np.uint8)
        clear, strip = strip.info.get("transparency"), Image.fromarray(eight_bit)
        if clear is not None:  # one level of grey, which 8 bits would not tell from its neighbours
            strip.putalpha(Image.fromarray(np.where(pixels == clear, 0, 255).astype(np.uint8)))
    if not strip.has_transparency_data:
        return strip.convert("RGB"), None
    with_alpha = strip.convert("RGBA")
    behind = Image.new("RGBA", with_alpha.size, background)
    return Image.alpha_composite(behind, with_alpha).convert("RGB"), with_alpha.getchannel("A")


def _white_level(picture: Image.Image) -> float:
    """The value of white, in modes of more than 8 bits."""
    whole = picture.mode == "I" and picture.format == "TIFF"  # 32 bits, whatever they hold
    if picture.mode != "F" and not whole:
        return 65535.0
    brightest = max(float(_float_pixels(strip).max()) for _, strip in _strips(picture))
    if not whole:
        return max(1.0, brightest)
    return next((white for white in (255.0, 65535.0) if brightest <= white), brightest)


def _float_pixels(strip: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(strip, dtype=np.float64), posinf=0.0, neginf=0.0)
