"""Hide bytes in a picture's pixels, and find them again, as AUTOMATIC1111 does.

Each byte is split into two nibbles. A block of all low nibbles stands left of the picture, one of
all high nibbles right of it, each separated by a black column. A nibble is in the low four bits of
a colour value; the high four bits are decoration.
"""

import math
import zlib
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

Bytes = NDArray[np.uint8]
_LOW, _FOUR = np.uint8(15), np.uint8(4)


def hide(plain: bytes, middle: Bytes, row: Tensor) -> Bytes:
    """Put `plain` into blocks left and right of a picture.

    Args:
        plain: what to hide; zlib compresses it.
        middle: the picture, `[height, width, 3]`.
        row: a row of the embedding, `[width]`; the shades of the decoration come from it.

    Returns:
        The wider picture, `[height, width, 3]`.
    """
    packed = np.frombuffer(zlib.compress(plain, 9), np.uint8)
    height = middle.shape[0]
    size = len(packed) + height - len(packed) % height
    size += 3 * height - size % (3 * height)
    shades = _shades(row)
    low = _block(np.resize(packed & _LOW, size), height, shades)
    high = _block(np.resize(packed >> _FOUR, size), height, shades[::-1])
    black = np.zeros((height, 1, 3), np.uint8)
    return np.concatenate([low, black, middle, black, high], axis=1)


def extract(pixels: Bytes, max_nbytes: int) -> bytes | None:
    """The bytes hidden in `[height, width, 3]` pixels; None if there are none or too many."""
    packed = _packed_bytes(pixels, max_nbytes)
    return None if packed is None else decompress(packed, max_nbytes)


def decompress(packed: bytes, max_nbytes: int) -> bytes | None:
    """Decompress zlib data and ignore what follows; None if it is damaged, cut off or too large."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, max_nbytes)
    except zlib.error:
        return None
    return plain if stream.eof else None


def _packed_bytes(pixels: Bytes, max_nbytes: int) -> bytes | None:
    """The compressed bytes in the blocks left and right of the picture; None if there are none."""
    lit = np.asarray(pixels.all(axis=2))
    lines, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    if not len(lines):
        return None
    nibbles = pixels[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1] & _LOW
    black = np.flatnonzero(nibbles.sum(axis=(0, 2)) == 0)
    if len(black) < 2:
        return None
    low, high = nibbles[:, : black[0]], nibbles[:, black[-1] + 1 :]
    if low.shape != high.shape or not 0 < low.size <= 2 * max_nbytes:
        return None
    low, high = _scrambled(low), _scrambled(high)
    return (high << _FOUR | low).tobytes()


def _scrambled(block: Bytes) -> Bytes:
    """XOR with the low nibbles of a fixed noise; applying it twice gives the block back."""
    noise = np.resize(_noise(1 << max(10, math.ceil(math.log2(block.size + 1)))), block.size)
    scrambled: Bytes = block ^ (noise.reshape(block.shape) & _LOW)
    return scrambled


@cache
def _noise(count: int) -> Bytes:
    """`count` outputs of a linear congruential generator, modulo 255; the first are 253, 242.

    The array is doubled with s[i + k] = a^k · s[i] + c_k instead of a loop over all numbers.
    """
    states = np.array([1013904223], np.uint32)
    factor, add = 1664525, 1013904223
    while len(states) < count:
        states = np.concatenate([states, states * np.uint32(factor) + np.uint32(add)])
        factor, add = factor * factor % 2**32, (factor * add + add) % 2**32
    return (states[:count] % 255).astype(np.uint8)


def _block(nibbles: Bytes, height: int, shades: Bytes) -> Bytes:
    """Nibbles as pixels `[height, width, 3]`, with a pattern of dots in the high bits."""
    block = nibbles.reshape(height, -1, 3)
    return _scrambled(block ^ _dots(block.shape[1], height, shades))


def _shades(row: Tensor) -> Bytes:
    """The row's absolute values as shades of grey, 0 to 255."""
    row = row.abs()[:1024].double()
    shades: Bytes = (row / row.max().clamp(min=1e-30) * 255).to(torch.uint8).numpy()
    return shades


def _dots(width: int, height: int, shades: Bytes) -> Bytes:
    """The decoration, in high nibbles only; never 0, because readers cut off black borders."""
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
