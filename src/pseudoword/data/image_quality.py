"""What a person would want to know of pictures before training: small, blurred, a double, marked.

Told, never refused.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from pseudoword.data.examples import Example

TILES = 8
MIN_SHARPNESS = 20.0
"""Sharp photographs and drawings score 45 to 5000, the same blurred by two pixels 4 to 21."""
MAX_ENLARGEMENT = 1.1
"""Enlarging by less than this does no harm."""
HASH_SIDE_PX = 16
MAX_DUPLICATE_BITS = 20
"""Different pictures of one subject differ in 52 bits of 256 or more, copies that were resized,
brightened or compressed in 20 or fewer."""

WATERMARK_MIN_PICTURES = 5
"""Fewer pictures than these may agree by chance."""
WATERMARK_MAX_PICTURES = 32
"""More need not be compared."""
WATERMARK_SIDE_PX = 192
WATERMARK_MARGIN = 0.15
"""Things are in the middle and may well be alike there; marks reach into the margin."""
WATERMARK_OUTLIERS = 0.15
"""This part of the pictures need not agree: white print is lost on white."""
WATERMARK_MIN_SLOPE = 5.0
"""Grey levels per pixel that count as a line."""
WATERMARK_WINDOW_PX = 16
WATERMARK_MIN_PIXELS = 21
"""So many pixels of a window that are alike in all pictures. Photographs of one subject
have up to 8, drawings of one thing cut alike 20; those photographs with print of a third's opacity
13 to 39, according to the place."""


def note_problems(examples: Iterable[Example], note: Callable[[str], None]) -> Iterator[Example]:
    """Pass the examples on, and tell `note` what is wrong with each."""
    find = ProblemFinder()
    for example in examples:
        for fault in find(example):
            note(f"{example.path.name} {fault}")
        yield example
    if found := find.shared_problem():
        note(found)


class ProblemFinder:
    """Finds the faults of pictures shown to it one by one; doubles are told of the later one."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, int]] = []
        self._grey: list[np.ndarray] = []

    def __call__(self, example: Example) -> list[str]:
        """What is wrong, each as a sentence without its subject."""
        view = example.views[0]
        found = []
        if view.crop.scale > MAX_ENLARGEMENT:
            width, height = example.size
            found.append(
                f"is small: its {width} x {height} pixels are enlarged {view.crop.scale:.1f} times"
            )
        elif sharpness(view.pixels) < MIN_SHARPNESS:
            found.append("looks blurred")
        if example.has_more_frames:
            found.append("holds several frames, of which the first is seen")
        own = difference_hash(example.whole)
        for name, other in self._seen:
            if (own ^ other).bit_count() <= MAX_DUPLICATE_BITS:
                found.append(f"looks like {name} again")
                break
        else:
            if len(self._grey) < WATERMARK_MAX_PICTURES:
                self._grey.append(
                    _grey_levels(example.whole, WATERMARK_SIDE_PX, WATERMARK_SIDE_PX).astype(
                        np.float32
                    )
                )
        self._seen.append((example.path.name, own))
        return found

    def shared_problem(self) -> str | None:
        """What is wrong with all pictures together, doubles aside: a sentence."""
        if len(self._grey) < WATERMARK_MIN_PICTURES:
            return None
        place = find_watermark(self._grey)
        return place and (
            f"the pictures have the same lines {place}, like a watermark, a caption or a frame: "
            "the word would learn those, too. Crop them off, or mask them"
        )


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


def difference_hash(picture: Image.Image) -> int:
    """256 bits that copies of a picture share: where it grows brighter to the right (dHash)."""
    grey = _grey_levels(picture, HASH_SIDE_PX + 1, HASH_SIDE_PX)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes())


def find_watermark(pictures: Sequence[np.ndarray]) -> str | None:
    """Where in their margin `pictures` have the same lines, as `at the bottom right`.

    What pictures have in common survives in the median of their gradients (Dekel et al. 2017, on
    removing watermarks); here nearly all of them must agree with it.

    Args:
        pictures: `[S, S]` float32 grey levels each, all of one size.
    """
    slopes = np.stack([np.stack(np.gradient(grey)) for grey in pictures])  # [N, 2, S, S]
    middle = np.median(slopes, axis=0)
    steep = np.hypot(*middle)
    along = (slopes * middle).sum(1) / (steep + 1e-6)
    alike = np.quantile(along, WATERMARK_OUTLIERS, axis=0, method="lower") >= steep / 2
    alike &= steep > WATERMARK_MIN_SLOPE
    side = len(steep)
    edge = round(WATERMARK_MARGIN * side)
    alike[edge:-edge, edge:-edge] = False
    windows = np.lib.stride_tricks.sliding_window_view(
        alike, (WATERMARK_WINDOW_PX, WATERMARK_WINDOW_PX)
    )
    counts = windows.sum((2, 3))
    if counts.max() < WATERMARK_MIN_PIXELS:
        return None
    y, x = (
        (i + WATERMARK_WINDOW_PX / 2) / side
        for i in np.unravel_index(counts.argmax(), counts.shape)
    )
    rows = {"top": y < 1 / 3, "bottom": y > 2 / 3}
    columns = {"left": x < 1 / 3, "right": x > 2 / 3}
    return "at the " + " ".join(name for name, here in (rows | columns).items() if here)


def _grey_levels(picture: Image.Image, width: int, height: int) -> np.ndarray:
    """Grey levels `[height, width]` int16."""
    small = picture.convert("L").resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.int16)
