"""AUTOMATIC1111's embeddings in pictures: in a PNG's text chunk, or hidden in the pixels.

Both hold the same JSON; `steganography.py` reads and writes the pixels.
"""

import base64
import binascii
import io
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pseudoword.errors import ConceptError
from pseudoword.formats import steganography
from pseudoword.formats.infotext import png_text
from pseudoword.formats.raw_content import MOST_CONCEPTS, NoEmbeddingError, RawContent
from pseudoword.process_wide import without_warnings
from pseudoword.text import reason

KEYWORD = "sd-ti-embedding"
LARGEST_JSON_NBYTES = 8 << 20
"""Small, since JSON can take 25 times its size in memory; 75 vectors take 2 MB."""
NUMBER_NBYTES = 26
"""A float32 in JSON takes less than this: 23 letters, a comma and a space."""

MOST_PIXELS = 1 << 24
"""4096 × 4096; larger pictures are not searched for hidden embeddings."""

MOST_SIDE_PX = 16383
"""WebP's limit."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = ("PNG", "WEBP", "AVIF")


def matches(data: bytes) -> bool:
    """Whether this is a PNG, WebP or AVIF file."""
    return (
        data[:8] == _SIGNATURE
        or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        or data[4:12] in (b"ftypavif", b"ftypavis")
    )


def read(data: bytes, where: str) -> RawContent:
    """Read the embedding in a picture.

    Raises:
        NoEmbeddingError: there is none in it.
        ConceptError: it is damaged.
    """
    if data[:8] == _SIGNATURE:
        text = _chunk(data, where)
        if text is not None:
            return RawContent(_decoded(text, where), where, "chunk")
    hidden = steganography.extract(_pixels(data, where), LARGEST_JSON_NBYTES)
    if hidden is None:
        raise NoEmbeddingError(
            f"{where} is a picture without an embedding in it. If it had one, cropping, scaling or "
            "saving as JPEG has removed it: get the original file."
        )
    return RawContent(_parsed(hidden, where), where, "pixels")


def write_chunk(picture: Image.Image, items: Mapping[str, Any]) -> bytes:
    """`picture` as PNG with `items` in a text chunk."""
    info = png_text(picture)
    info.add_text(KEYWORD, base64.b64encode(_json(items)).decode())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def write_hidden(picture: Image.Image, items: Mapping[str, Any], kind: str = "PNG") -> bytes:
    """`picture` with `items` hidden in pixels beside it, as PNG or lossless WebP.

    Raises:
        ConceptError: the picture has too few pixels in height, or too many in all.
    """
    plain = _json(items)
    if picture.width * picture.height > MOST_PIXELS:
        raise ConceptError(
            f"a picture of {picture.width} x {picture.height} pixels is too large to hide a word "
            "in; give a smaller one, or write the format a1111-png"
        )
    (rows,) = items["string_to_param"].values()
    middle = np.asarray(picture.convert("RGB"))
    whole = steganography.hide(plain, middle, rows[0])
    if (
        max(whole.shape) > MOST_SIDE_PX
        or steganography.extract(whole, LARGEST_JSON_NBYTES) != plain
    ):
        raise ConceptError(
            f"a picture {middle.shape[0]} pixels high cannot hold this word in its pixels; "
            "give a higher one, or write the format a1111-png"
        )
    buffer = io.BytesIO()
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    Image.fromarray(whole).save(buffer, kind, **options)
    return buffer.getvalue()


def _json(items: Mapping[str, Any]) -> bytes:
    tensors = items["string_to_param"].values()
    if sum(rows.numel() for rows in tensors) * NUMBER_NBYTES > LARGEST_JSON_NBYTES:
        shapes = ", ".join(" x ".join(map(str, rows.shape)) for rows in tensors)
        raise ConceptError(
            f"{items['name']} has {shapes} numbers, too many for a picture; write a .safetensors"
        )

    def encode(value: object) -> object:
        if isinstance(value, Tensor):
            return {"TORCHTENSOR": value.tolist()}
        raise TypeError(type(value).__name__)

    return json.dumps(dict(items), default=encode).encode()


def _parsed(text: bytes, where: str) -> dict[str, Any]:
    def decode(item: dict[str, Any]) -> Any:
        return _tensor(item["TORCHTENSOR"]) if "TORCHTENSOR" in item else item

    try:
        items = json.loads(text, object_hook=decode)
    except (ValueError, TypeError, RecursionError, RuntimeError, OverflowError) as error:
        raise ConceptError(f"{where}: the embedding in the picture is damaged: {error}") from error
    if not isinstance(items, dict):
        raise ConceptError(f"{where}: the JSON in the picture is no embedding")
    return items


def _tensor(numbers: object) -> Tensor:
    """Nested lists as a tensor of at most two dimensions."""
    if not isinstance(numbers, list) or not numbers:
        raise ValueError("not a list of rows")
    lines = numbers if isinstance(numbers[0], list) else [numbers]
    if len(lines) > MOST_CONCEPTS or not all(isinstance(line, list) for line in lines):
        raise ValueError("not a list of rows")
    if any(type(number) not in (int, float) for line in lines for number in line):
        raise ValueError("a row holds something other than numbers")
    return torch.tensor(lines, dtype=torch.float32)


def _chunk(data: bytes, where: str) -> bytes | None:
    """The embedding's text chunk in a PNG, still in base64; None if there is none."""
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
    return steganography.decompress(text, 2 * LARGEST_JSON_NBYTES) if packed else text


def _decoded(text: bytes, where: str) -> dict[str, Any]:
    if len(text) > 4 * (LARGEST_JSON_NBYTES // 3 + 1):
        raise ConceptError(f"{where}: the text in the picture is too large for an embedding")
    try:
        plain = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConceptError(f"{where}: the embedding in the picture is damaged: {error}") from error
    return _parsed(plain, where)


def _pixels(data: bytes, where: str) -> steganography.Bytes:
    """The picture as `[height, width, 3]`; its size is checked before it is decoded."""
    try:
        with without_warnings:
            picture = Image.open(io.BytesIO(data), formats=_KINDS)
            if picture.width * picture.height > MOST_PIXELS:
                raise NoEmbeddingError(
                    f"{where} has {picture.width} × {picture.height} pixels, "
                    "too many for a picture with an embedding in it"
                )
            return np.asarray(picture.convert("RGB"))
    except ConceptError:
        raise
    except Exception as error:  # each decoder has its own errors
        raise ConceptError(f"{where} is a damaged picture: {reason(error)}") from error
