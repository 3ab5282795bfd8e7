"""How much memory it takes to decode a picture file, known before it is decoded."""

import math

from PIL import Image
from PIL.ExifTags import Base

BYTES_PER_PX = {"WEBP": 16.0, "AVIF": 10.0, "HEIF": 7.0}
"""What a format's library needs, as measured with Pillow 12 and 13. Other formats need no more than
the 4 bytes of the decoded picture."""

PROGRESSIVE_BYTES_PER_PX = 6.0
"""What a progressive JPEG needs on top, for every pixel of the file, even if decoded reduced."""

MAX_SCANNED_PX = 1_000_000_000
"""Limit for pixels times scans of a progressive JPEG: each scan goes over all pixels again."""

JPEG_FRAMES = {bytes([kind]) for kind in range(0xC0, 0xD0) if kind not in (0xC4, 0xC8, 0xCC)}
JPEG_PROGRESSIVE = {b"\xc2", b"\xc6", b"\xca", b"\xce"}
"""The JPEG markers that begin a frame."""


def decoding_nbytes(opened: Image.Image, file_pixels: int, factor: int, data: bytes) -> float:
    """Bytes of memory that it takes to decode a picture and reduce it.

    Args:
        opened: a picture whose header has been read.
        file_pixels: how many pixels the file holds; `opened` may have fewer (`Image.draft`).
        factor: what the picture is reduced by after decoding.
        data: the bytes of the file.

    Raises:
        ValueError: a progressive JPEG has so many scans that reading it would take forever.
    """
    pixels = math.prod(opened.size)
    nbytes = BYTES_PER_PX.get(opened.format or "", 4.0) * pixels
    if opened.format in ("JPEG", "MPO") and has_several_scans(data, file_pixels):
        nbytes += PROGRESSIVE_BYTES_PER_PX * file_pixels
    if opened.format == "TIFF":
        tags = getattr(opened, "tag_v2", {})
        nbytes += 4.0 * pixels if tags.get(Base.Orientation, 1) != 1 else 0.0
        nbytes += 4.0 * int(tags.get(Base.TileWidth, 1)) * int(tags.get(Base.TileLength, 1))
    return nbytes + 4.0 * pixels / factor**2


def has_several_scans(data: bytes, file_pixels: int) -> bool:
    """Whether a JPEG has several scans, so that decoding keeps all of it in memory.

    Raises:
        ValueError: it has so many scans that reading it would take forever.
    """
    position, colours = 2, 0
    while data[position : position + 1] == b"\xff":
        marker = data[position + 1 : position + 2]
        length = int.from_bytes(data[position + 2 : position + 4])
        if marker == b"\xda":
            if data[position + 4] < colours:
                break
            return False
        if marker in JPEG_FRAMES:
            if marker in JPEG_PROGRESSIVE:
                break
            colours = data[position + 9]
        position += 2 + length
    if data.count(b"\xff\xda") * file_pixels > MAX_SCANNED_PX:
        raise ValueError("it has more scans than any program writes")
    return True
