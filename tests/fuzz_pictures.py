"""Pictures of every format and mode, broken anywhere or inside, their checksums put right; and
others that make claims that they do not keep: sizes, tiles, scans, text that inflates."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import numpy as np
from fuzz_formats import broken
from PIL import Image

SIDES = (0, 1, 2, 255, 4096, 8000, 13_000, 16_383, 30_000, 65_535, 2**31 - 1, 2**32 - 1)


def saved(mode: str, kind: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    values = np.random.default_rng(len(mode)).integers(0, 255, (*size[::-1], 4), dtype=np.uint8)
    if mode in ("F", "I", "I;16"):
        kinds = {"F": np.float32, "I": np.int32, "I;16": np.uint16}
        picture = Image.fromarray(values[..., 0].astype(kinds[mode]))
    else:
        picture = Image.fromarray(values, "RGBA").convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def seeds() -> dict[str, bytes]:
    """A small valid picture of every kind that is read."""
    modes = {
        "PNG": "1 L LA P RGB RGBA I;16",
        "JPEG": "L RGB CMYK",
        "WEBP": "RGB RGBA",
        "GIF": "P L",
        "BMP": "1 L P RGB",
        "TIFF": "1 L LA P RGB RGBA CMYK F I I;16",
        "PPM": "1 L RGB I",
        "AVIF": "RGB RGBA",
    }
    found = {f"{kind} {m}": saved(m, kind) for kind, some in modes.items() for m in some.split()}
    found["progressive"] = saved("RGB", "JPEG", progressive=True)
    for packed in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "tiff_adobe_deflate"):
        found[f"TIFF {packed}"] = saved("RGB", "TIFF", compression=packed)
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        found[f"{kind} animated"] = buffer.getvalue()
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "WEBP", "PNG", "TIFF"):
        found[f"{kind} turned"] = saved("RGB", kind, exif=exif)
    with suppress(ImportError):
        from pillow_heif import from_pillow

        buffer = io.BytesIO()
        from_pillow(Image.new("RGB", (40, 30), "red")).save(buffer)
        found["HEIC"] = buffer.getvalue()
    return found


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


@cache
def zeros(megabytes: int) -> bytes:
    """This many zeros, compressed."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def png(width: int, height: int, depth: int, colour: int, *more: bytes) -> bytes:
    """A PNG that claims this size, with as many zero pixels as a few kilobytes hold."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zeros(300)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def bombs(chance: random.Random) -> bytes:
    """A small file that claims, or unpacks to, far more than it should."""
    width, height = chance.choice(SIDES), chance.choice(SIDES)
    depth, colour = chance.choice(((8, 2), (8, 6), (16, 6), (8, 0), (16, 0), (8, 4), (1, 0)))
    inflating = zeros(50)
    match chance.randrange(6):
        case 0:
            return png(width, height, depth, colour)
        case 1:
            texts = [
                chunk(b"zTXt", b"a%d\0\0" % i + inflating) for i in range(chance.choice((1, 9)))
            ]
            return png(30, 20, 8, 2, *texts)
        case 2:
            return png(30, 20, 8, 2, chunk(b"iCCP", b"icc\0\0" + inflating))
        case 3:
            return png(30, 20, 8, 2, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + inflating))
        case 4:  # tiles larger than the picture, full of zeros
            side = chance.choice((512, 4096, 16_384, 65_520))
            return tiled(side, side, zeros(min(side * side >> 20, 300)))
        case _:
            data = bytearray(saved("L", "TIFF", compression="tiff_deflate"))
            at = chance.randrange(8, len(data) - 4)
            data[at : at + 4] = struct.pack("<I", chance.choice(SIDES))
            return bytes(data)


def tiled(tile_width: int, tile_height: int, packed: bytes) -> bytes:
    """A grey TIFF of 16 x 16 pixels in one deflated tile of this size."""
    tags = [
        *((256, 4, 16), (257, 4, 16), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)),
        *((322, 4, tile_width), (323, 4, tile_height), (324, 4, 8), (325, 4, len(packed))),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(packed))
    return head + packed + struct.pack("<H", len(tags)) + entries + bytes(4)


def scans(chance: random.Random) -> bytes:
    """A progressive JPEG whose last scan is repeated many times."""
    buffer = io.BytesIO()
    Image.new("L", (2000, 2000), 99).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * chance.choice((3, 200, 240, 3000)) + data[-2:]


def other(chance: random.Random) -> bytes:
    """A file of another format with a picture's name."""
    kinds = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n%%EOF\n",
        b"\xc5\xd0\xd3\xc6" + bytes(28) + b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\xd7\xcd\xc6\x9a" + bytes(80),  # WMF
        b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(80),
        b"SIMPLE  =                    T" + bytes(2900),  # FITS
        b"GRIB" + bytes(80),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),  # OLE
        b"8BPS\0\1" + bytes(80),
        b"icns" + bytes(80),
        b"%PDF-1.4\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(80),
        b"",
    )
    return chance.choice(kinds)


MAKERS: tuple[Callable[[random.Random], bytes], ...] = (bombs, bombs, bombs, scans, other)


def made(i: int, chance: random.Random, whole: dict[str, bytes]) -> tuple[str, bytes]:
    """The i-th file, and a description of it."""
    if i % 4 == 0:
        maker = MAKERS[i // 4 % len(MAKERS)]
        return maker.__name__, maker(chance)
    name = list(whole)[i % len(whole)]
    data = whole[name]
    if data[:4] == b"\x89PNG" and i % 2:
        return name, broken_inside(data, chance)
    return name, broken(data, chance, list(whole.values()))


def broken_inside(data: bytes, chance: random.Random) -> bytes:
    """A PNG with a changed chunk and correct checksums."""
    out, at = bytearray(data[:8]), 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if chance.random() < 0.5 and body:
            if kind == b"IHDR":
                body = broken(body, chance, [body])[:13].ljust(13, b"\1")
            elif kind == b"IDAT":
                body = zlib.compress(broken(zlib.decompress(body), chance, [data]))
            else:
                body = broken(body, chance, [body])
        out += chunk(kind, body)
        at += 12 + length
    return bytes(out)
