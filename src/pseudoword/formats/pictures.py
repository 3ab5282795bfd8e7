"""AUTOMATIC1111's embeddings in pictures: in a PNG's text chunk, or hidden in the pixels.

Both hold the same JSON. Hidden pixels: the zlib-packed bytes are cut into low and high nibbles,
one block of each stands left and right of the picture beyond a black column, and the high nibble
of each pixel is decoration.
"""

import base64
import binascii
import io
import json
import math
import struct
import warnings
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from pseudoword.errors import ConceptError
from pseudoword.formats.loose import MOST_WORDS, Loose

KEYWORD = "sd-ti-embedding"
LARGEST_JSON_NBYTES = 16 << 20
"""JSON takes ten times its size in memory, so a picture's is kept small."""
MOST_PIXELS = 1 << 24
"""4096 × 4096: larger pictures are not searched for hidden embeddings."""

Bytes = NDArray[np.uint8]
_LOW, _FOUR = np.uint8(15), np.uint8(4)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = ("PNG", "WEBP", "AVIF")


def matches(data: bytes) -> bool:
    """Whether this is a PNG, WebP or AVIF."""
    return (
        data[:8] == _SIGNATURE
        or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        or data[4:12] in (b"ftypavif", b"ftypavis")
    )


def read(data: bytes, where: str) -> Loose:
    """Read an embedding out of a picture.

    Raises:
        ConceptError: there is none in it, or it is damaged.
    """
    if data[:8] == _SIGNATURE:
        text = _chunk(data, where)
        if text is not None:
            return Loose(_decoded(text, where), where, "chunk")
    packed = _hidden(_pixels(data, where))
    found = _unpacked(packed) if packed is not None else None
    if found is None:
        raise ConceptError(
            f"{where} is a picture without an embedding in it. If it had one, it was lost when "
            "the picture was cut, scaled or saved as JPEG: get the original file."
        )
    return Loose(_parsed(found, where), where, "pixels")


def write_chunk(picture: Image.Image, items: Mapping[str, Any]) -> bytes:
    """`picture` as PNG with `items` in a text chunk."""
    info = PngInfo()
    info.add_text(KEYWORD, base64.b64encode(_json(items)).decode())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def write_hidden(picture: Image.Image, items: Mapping[str, Any], kind: str = "PNG") -> bytes:
    """`picture` with `items` hidden in pixels beside it, as PNG or lossless WebP.

    Raises:
        ConceptError: the picture is too low to hold them.
    """
    packed = np.frombuffer(zlib.compress(_json(items), 9), np.uint8)
    middle = np.asarray(picture.convert("RGB"))
    height = middle.shape[0]
    size = len(packed) + height - len(packed) % height
    size += 3 * height - size % (3 * height)
    shades = _shades(items)
    low = _block(np.resize(packed & 15, size), height, shades)
    high = _block(np.resize(packed >> 4, size), height, shades[::-1])
    black = np.zeros((height, 1, 3), np.uint8)
    whole = np.concatenate([low, black, middle, black, high], axis=1)
    if max(whole.shape) > 16383 or _unpacked(_hidden(whole) or b"") != _json(items):
        raise ConceptError(
            f"a picture {height} pixels high cannot hold this word in its pixels; "
            "give a higher one, or write the chunk form"
        )
    buffer = io.BytesIO()
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    Image.fromarray(whole).save(buffer, kind, **options)
    return buffer.getvalue()


def _json(items: Mapping[str, Any]) -> bytes:
    def encode(value: object) -> object:
        if isinstance(value, Tensor):
            return {"TORCHTENSOR": value.tolist()}
        raise TypeError(type(value).__name__)

    return json.dumps(dict(items), default=encode).encode()


def _parsed(text: bytes, where: str) -> dict[str, Any]:
    def decode(found: dict[str, Any]) -> Any:
        return _tensor(found["TORCHTENSOR"]) if "TORCHTENSOR" in found else found

    try:
        found = json.loads(text, object_hook=decode)
    except (ValueError, TypeError, RecursionError, RuntimeError, OverflowError) as error:
        raise ConceptError(f"{where}: the embedding in the picture is damaged: {error}") from error
    if not isinstance(found, dict):
        raise ConceptError(f"{where}: what the picture holds is no embedding")
    return found


def _tensor(numbers: object) -> Tensor:
    """Nested lists as a tensor of at most two dimensions."""
    if not isinstance(numbers, list) or not numbers:
        raise ValueError("not a list of rows")
    lines = numbers if isinstance(numbers[0], list) else [numbers]
    if len(lines) > MOST_WORDS or not all(isinstance(line, list) for line in lines):
        raise ValueError("not a list of rows")
    if any(type(number) not in (int, float) for line in lines for number in line):
        raise ValueError("a row holds something else than numbers")
    return torch.tensor(lines, dtype=torch.float32)


def _chunk(data: bytes, where: str) -> bytes | None:
    """The text under our keyword in a PNG's chunks, still in base64."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if len(body) < length:
            break
        keyword, _, text = body.partition(b"\0")
        if kind in (b"tEXt", b"zTXt", b"iTXt") and keyword == KEYWORD.encode():
            crc = data[at + 8 + length : at + 12 + length]
            if struct.pack(">I", zlib.crc32(kind + body)) != crc:
                raise ConceptError(f"{where} is a damaged PNG: a checksum is wrong")
            plain = _text(kind, text)
            if plain is None:
                raise ConceptError(f"{where} is a damaged PNG, or its text is too large")
            return plain
        at += 12 + length
    return None


def _text(kind: bytes, text: bytes) -> bytes | None:
    """The text of a tEXt, zTXt or iTXt chunk."""
    if kind == b"iTXt":
        packed, rest = text[:1] == b"\1", text[2:].split(b"\0", 2)
        text = rest[-1]
    else:
        packed, text = kind == b"zTXt", text[1:] if kind == b"zTXt" else text
    return _inflated(text, 2 * LARGEST_JSON_NBYTES) if packed else text


def _decoded(text: bytes, where: str) -> dict[str, Any]:
    if len(text) > 2 * LARGEST_JSON_NBYTES:
        raise ConceptError(f"{where}: the text in the picture is too large for an embedding")
    try:
        plain = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConceptError(f"{where}: the embedding in the picture is damaged: {error}") from error
    if len(plain) > LARGEST_JSON_NBYTES:
        raise ConceptError(f"{where}: the text in the picture is too large for an embedding")
    return _parsed(plain, where)


def _pixels(data: bytes, where: str) -> Bytes:
    """The picture as `[height, width, 3]`, its size checked before it is unpacked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(data), formats=_KINDS)
            if picture.width * picture.height > MOST_PIXELS:
                raise ConceptError(
                    f"{where} has {picture.width} × {picture.height} pixels, "
                    "too many for a picture with an embedding in it"
                )
            return np.asarray(picture.convert("RGB"))
    except ConceptError:
        raise
    except Exception as error:  # each decoder has errors of its own
        raise ConceptError(f"{where} is a damaged picture: {str(error)[:200]}") from error


def _hidden(pixels: Bytes) -> bytes | None:
    """The packed bytes in the blocks left and right of the picture, if there are any."""
    lit = np.asarray(pixels.all(axis=2))
    lines, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    if not len(lines):
        return None
    nibbles = pixels[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1] & _LOW
    black = np.flatnonzero(nibbles.sum(axis=(0, 2)) == 0)
    if len(black) < 2:
        return None
    low, high = nibbles[:, : black[0]], nibbles[:, black[-1] + 1 :]
    if low.shape != high.shape or not 0 < low.size <= 2 * LARGEST_JSON_NBYTES:
        return None
    low, high = _scrambled(low), _scrambled(high)
    return (high << _FOUR | low).tobytes()


def _unpacked(packed: bytes) -> bytes | None:
    return _inflated(packed, LARGEST_JSON_NBYTES)


def _inflated(packed: bytes, most: int) -> bytes | None:
    """zlib's data, what follows it ignored; None if damaged, cut off or larger than `most`."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, most)
    except zlib.error:
        return None
    return plain if stream.eof else None


def _scrambled(block: Bytes) -> Bytes:
    """XOR with the generator's low nibbles; twice gives the block again."""
    noise = np.resize(_noise(1 << max(10, math.ceil(math.log2(block.size + 1)))), block.size)
    scrambled: Bytes = block ^ (noise.reshape(block.shape) & _LOW)
    return scrambled


@cache
def _noise(count: int) -> Bytes:
    """`count` outputs of a linear congruential generator, modulo 255; the first are 253, 242.

    Each doubling uses s[i + k] = a^k · s[i] + c_k, so that no Python loop runs over the numbers.
    """
    states = np.array([1013904223], np.uint32)
    factor, add = 1664525, 1013904223
    while len(states) < count:
        states = np.concatenate([states, states * np.uint32(factor) + np.uint32(add)])
        factor, add = factor * factor % 2**32, (factor * add + add) % 2**32
    return (states[:count] % 255).astype(np.uint8)


def _block(nibbles: Bytes, height: int, shades: Bytes) -> Bytes:
    """Nibbles as pixels `[height, width, 3]` under a pattern of dots."""
    block = nibbles.reshape(height, -1, 3)
    return _scrambled(block ^ _dots(block.shape[1], height, shades))


def _shades(items: Mapping[str, Any]) -> Bytes:
    """The first vector as shades of grey."""
    (rows,) = list(items["string_to_param"].values())[:1]
    row = rows[0].abs()[:1024].double()
    shades: Bytes = (row / row.max().clamp(min=1e-30) * 255).to(torch.uint8).numpy()
    return shades


def _dots(width: int, height: int, shades: Bytes) -> Bytes:
    """The decoration, in high nibbles only and never 0: readers cut off what is black."""
    canvas = Image.new("L", (width, height), 16)
    pen = ImageDraw.Draw(canvas)
    count = 0
    for x in range(-6, width, 8):
        for line, y in enumerate(range(-6, height, 8)):
            left = x + (4 if line % 2 == 0 else 0)
            shade = max(16, int(shades[count % len(shades)]))
            pen.ellipse((left, y, left + 6, y + 6), fill=shade)
            count += 1
    grey = np.asarray(canvas) & 0xF0
    return np.repeat(grey[:, :, None], 3, axis=2)
