"""Picture files -> upright RGB pictures, whatever their format, mode and orientation.

Only the formats named here are ever tried: some of Pillow's start other programs. What a picture
takes in memory is known from its header, and refused before it is unpacked if it is too much.
"""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pseudoword.errors import PictureError
from pseudoword.files import read_regular
from pseudoword.text import reason

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""What is read; HEIF too, where its library is installed."""

HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
JXL_MARKS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")

MAX_FILE_NBYTES = 300_000_000
"""Larger files are not read."""

MAX_UNPACKED_NBYTES = 380_000_000
"""What unpacking a picture may take: 95 million pixels of a PNG, 54 of a phone's HEIC."""

UNPACKED_BYTES_PER_PX = {"WEBP": 16.0, "AVIF": 10.0, "HEIF": 7.0}
"""Bytes per pixel that a format's library takes; the others need no more than the picture's own 4.
As measured with Pillow 12 and 13."""

PROGRESSIVE_BYTES_PER_PX = 6.0
"""Further bytes per pixel of a progressive JPEG, also where only a reduced one is made of it."""

MAX_SCANNED_PX = 1_000_000_000
"""Pixels times scans of a progressive JPEG: each scan goes over all of them again."""

LARGE_PX = 1 << 25
"""Larger pictures are reduced at once, where a reduced one will do."""

STRIP_PX = 1 << 20
"""Pixels that are converted at a time."""

ORIENTATION = 0x0112
UNDO_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation -> what undoes it; from 5 on, width and height change places."""

TIFF_TILES = (0x0142, 0x0143)
"""The tags with the width and the height of its tiles."""

JPEG_FRAMES = {bytes([kind]) for kind in range(0xC0, 0xD0) if kind not in (0xC4, 0xC8, 0xCC)}
JPEG_PROGRESSIVE = {b"\xc2", b"\xc6", b"\xca", b"\xce"}
"""Markers of a JPEG: what begins a frame."""


@dataclass(frozen=True)
class OpenedPicture:
    """A picture file, unpacked."""

    picture: Image.Image
    """upright, RGB"""
    alpha: Image.Image | None
    """mode L, of the picture's size; None if everything is opaque"""
    size: tuple[int, int]
    """(width, height) in the file, upright"""
    has_more_frames: bool = False
    """whether the file holds further pictures or frames"""
    reduced: int = 1
    """how many of the file's pixels one of the picture's stands for, along each side"""


def open_picture(
    path: Path, background: str = "white", needed_px: int | None = None
) -> Image.Image:
    """Any picture as upright RGB; transparency becomes `background`, animation its first frame.

    Args:
        path: the file.
        background: a colour that Pillow knows.
        needed_px: as in `decode`.

    Raises:
        PictureError: the file is not a readable picture; the message names it.
    """
    return decode(read(path), path, background, needed_px).picture


def read(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        PictureError: it cannot be read, or is no regular file.
    """
    return read_regular(path, MAX_FILE_NBYTES, PictureError)


def decode(data: bytes, path: Path, background: str, needed_px: int | None = None) -> OpenedPicture:
    """The bytes of the picture file `path`.

    Args:
        data: the bytes.
        path: named in errors.
        background: the colour behind transparent parts.
        needed_px: the short side that the caller needs. A large picture is reduced while it is
            read, to no less than twice that, to save memory.

    Raises:
        PictureError: they are not a readable picture; the message names the file.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # broken EXIF blocks don't matter here
            opened = Image.open(io.BytesIO(data), formats=_formats(data, path))
            return _unpack(opened, data, path, background, needed_px)
    except UnidentifiedImageError as error:
        raise PictureError(
            f"{path} is not a picture that is read here ({', '.join(FORMATS)}, HEIC), whatever its "
            "name says. Remove it, or save it as PNG."
        ) from error
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path} is too large to be read. Save it smaller. ({error})") from error
    except Exception as error:  # decoders raise all sorts of things on damaged bytes
        raise PictureError(
            f"{path} is damaged or unreadable ({reason(error)}). Replace it, or take it out."
        ) from error


def _formats(data: bytes, path: Path) -> tuple[str, ...]:
    if data.startswith(JXL_MARKS):
        raise PictureError(f"{path} is a JPEG XL picture, which is not read. Save it as PNG.")
    if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS:
        return FORMATS
    try:  # phone cameras' format, which needs a library of its own
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise PictureError(
            f"{path} is a HEIC picture. Install what reads it (pip install pseudoword[heic]), or "
            "save it as JPEG."
        ) from error
    register_heif_opener()
    return (*FORMATS, "HEIF")


def _unpack(
    opened: Image.Image, data: bytes, path: Path, background: str, needed_px: int | None
) -> OpenedPicture:
    size = opened.size
    factor = _reduction(size, needed_px) if math.prod(size) > LARGE_PX else 1
    if factor > 1:  # a JPEG is unpacked reduced; what that leaves to do is done afterwards
        opened.draft(None, (size[0] // factor, size[1] // factor))
        factor = _reduction(opened.size, needed_px)
    drafted = opened.size != size
    nbytes = _unpacking_nbytes(opened, math.prod(size), factor, data)
    if nbytes > MAX_UNPACKED_NBYTES:
        raise PictureError(
            f"{path} is too large to be read: its {size[0]} x {size[1]} pixels would take "
            f"{nbytes / 1e6:,.0f} MB of memory. Save it smaller."
        )
    opened.load()
    if not drafted:
        size = opened.size  # a TIFF turns itself
    picture, alpha = _to_rgb(opened, background, factor)
    orientation = 1
    with suppress(Exception):  # a broken EXIF block says nothing: keep the picture as it is
        orientation = opened.getexif().get(ORIENTATION, 1)
    if orientation in UNDO_ORIENTATION:
        turn = UNDO_ORIENTATION[orientation]
        picture, alpha = picture.transpose(turn), alpha and alpha.transpose(turn)
        size = size[::-1] if orientation >= 5 else size
    reduced = max(1, round(min(size) / min(picture.size)))
    return OpenedPicture(picture, alpha, size, _is_one_of_several(opened), reduced)


def _is_one_of_several(opened: Image.Image) -> bool:
    """Of an animation, or of pages. A camera's file may hold a preview besides: no matter."""
    with suppress(Exception):
        return opened.format != "MPO" and bool(getattr(opened, "is_animated", False))
    return False


def _reduction(size: tuple[int, int], needed_px: int | None) -> int:
    """What a picture of this size may be reduced by, and keep twice what is needed."""
    return max(1, min(size) // (2 * needed_px)) if needed_px else 1


def _unpacking_nbytes(opened: Image.Image, pixels: int, factor: int, data: bytes) -> float:
    """What it takes to unpack a picture of so many pixels in its file, and to reduce it."""
    kept = math.prod(opened.size)
    own = UNPACKED_BYTES_PER_PX.get(opened.format or "", 4.0) * kept
    if opened.format in ("JPEG", "MPO") and _has_several_scans(data, pixels):
        own += PROGRESSIVE_BYTES_PER_PX * pixels
    if opened.format == "TIFF":
        tags = getattr(opened, "tag_v2", {})
        own += 4.0 * kept if tags.get(ORIENTATION, 1) != 1 else 0.0
        own += 4.0 * math.prod(int(tags.get(tag, 1)) for tag in TIFF_TILES)
    return own + 4.0 * kept / factor**2


def _has_several_scans(data: bytes, pixels: int) -> bool:
    """Whether all of a JPEG is kept in memory while it is read: it comes in several scans.

    Raises:
        ValueError: it comes in so many that reading it would take for ever.
    """
    at, colours = 2, 0
    while data[at : at + 1] == b"\xff":
        kind, length = data[at + 1 : at + 2], int.from_bytes(data[at + 2 : at + 4])
        if kind == b"\xda":
            if data[at + 4] < colours:
                break
            return False
        if kind in JPEG_FRAMES:
            if kind in JPEG_PROGRESSIVE:
                break
            colours = data[at + 9]
        at += 2 + length
    if data.count(b"\xff\xda") * pixels > MAX_SCANNED_PX:
        raise ValueError("it comes in more scans than any program writes")
    return True


def _to_rgb(
    picture: Image.Image, background: str, factor: int
) -> tuple[Image.Image, Image.Image | None]:
    """`picture` as RGB and its alpha, reduced; strip by strip, so that memory holds it once."""
    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture.reduce(factor) if factor > 1 else picture, None
    size = (-(-picture.width // factor), -(-picture.height // factor))
    made = Image.new("RGB", size)
    alpha = Image.new("L", size) if picture.has_transparency_data else None
    brightest = _white_level(picture)
    for top, strip in _strips(picture, factor):
        colours, seen = _strip_to_rgb(strip, background, brightest)
        made.paste(colours.reduce(factor), (0, top // factor))
        if alpha is not None and seen is not None:
            alpha.paste(seen.reduce(factor), (0, top // factor))
    return made, alpha


def _strips(picture: Image.Image, factor: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Where each begins, and the strip, of a multiple of `factor` lines."""
    lines = max(1, STRIP_PX // picture.width // factor) * factor
    for top in range(0, picture.height, lines):
        yield top, picture.crop((0, top, picture.width, min(top + lines, picture.height)))


def _strip_to_rgb(
    strip: Image.Image, background: str, brightest: float
) -> tuple[Image.Image, Image.Image | None]:
    if strip.mode.startswith(("I", "F")):  # 16-bit grey, and floats: convert() would clip them
        eight_bit = (_float_pixels(strip) / brightest * 255).clip(0, 255).astype(np.uint8)
        return Image.fromarray(eight_bit).convert("RGB"), None
    if not strip.has_transparency_data:
        return strip.convert("RGB"), None
    with_alpha = strip.convert("RGBA")
    behind = Image.new("RGBA", with_alpha.size, background)
    return Image.alpha_composite(behind, with_alpha).convert("RGB"), with_alpha.getchannel("A")


def _white_level(picture: Image.Image) -> float:
    """What stands for white, in modes of more than 8 bits."""
    if picture.mode != "F":
        return 65535.0
    return max(1.0, *(float(_float_pixels(strip).max()) for _, strip in _strips(picture)))


def _float_pixels(strip: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(strip, dtype=np.float64), posinf=0.0, neginf=0.0)
