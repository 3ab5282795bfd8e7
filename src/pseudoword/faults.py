"""What a person would want to know of a picture before training: small, blurred, a double.

Told, never refused. Watermarks are not looked for: nothing small tells them from other print.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from PIL import Image
from torch import Tensor

from pseudoword.examples import Example

TILES = 8
BLURRED = 20.0
"""Sharp photographs and drawings score 45 to 5000, the same blurred by two pixels 4 to 21."""
SMALL = 1.1
"""Enlarging by less than this does no harm."""
HASH_SIDE = 16
ALIKE = 20
"""Different pictures of one subject differ in 52 bits of 256 or more, copies that were resized,
brightened or compressed in 20 or fewer."""


def told(examples: Iterable[Example], note: Callable[[str], None]) -> Iterator[Example]:
    """Pass the examples on, and tell `note` what is wrong with each."""
    find = Finder()
    for example in examples:
        for fault in find(example):
            note(f"{example.path.name} {fault}")
        yield example


class Finder:
    """Finds the faults of pictures shown to it one by one; doubles are told of the later one."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, np.ndarray]] = []

    def __call__(self, example: Example) -> list[str]:
        """What is wrong, each as a sentence without its subject."""
        view = example.views[0]
        found = []
        if view.crop.scale > SMALL:
            width, height = example.whole.size
            found.append(
                f"is small: its {width} x {height} pixels are enlarged {view.crop.scale:.1f} times"
            )
        elif sharpness(view.pixels) < BLURRED:
            found.append("looks blurred")
        own = fingerprint(example.whole)
        for name, other in self._seen:
            if np.count_nonzero(own != other) <= ALIKE:
                found.append(f"looks like {name} again")
                break
        self._seen.append((example.path.name, own))
        return found


def sharpness(pixels: Tensor) -> float:
    """How sharp the sharpest parts of `[3, H, W]` in [-1, 1] are.

    The variance of the Laplacian of the 8-bit grey values (Pech-Pacheco et al. 2000), in the third
    best of 64 tiles: a blurred background is no fault of a portrait, a plain one none of an icon.
    """
    grey = pixels.mean(0).double().numpy() * 127.5
    bent = (
        4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    )
    high, wide = (max(1, side // TILES) for side in bent.shape)
    tiles = [
        bent[y : y + high, x : x + wide].var()
        for y in range(0, bent.shape[0] - high + 1, high)
        for x in range(0, bent.shape[1] - wide + 1, wide)
    ]
    return float(sorted(tiles)[-3:][0]) if tiles else 0.0


def fingerprint(picture: Image.Image) -> np.ndarray:
    """256 bits that copies of a picture share: where it grows brighter to the right (dHash)."""
    small = picture.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.int16)
    return np.asarray(grey[:, 1:] > grey[:, :-1]).ravel()
