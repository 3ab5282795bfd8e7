"""Warnings about training pictures: small, blurred, duplicate or watermarked ones.

These are warnings only: every picture is still used.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from pseudoword.data.examples import Example
from pseudoword.progress import Note
from pseudoword.text import counted

MAX_ENLARGEMENT = 1.1
"""A picture that is enlarged by more than this is reported as small."""

MOST_NAMED = 10
"""Of hundreds of pictures that are small or copies, no more are named."""

TILES = 8
"""Sharpness is measured in this many tiles along each side."""

MIN_SHARPNESS = 20.0
"""Sharp photographs and drawings score 45 to 5000; blurred by two pixels, they score 4 to 21."""

HASH_SIDE_PX = 16
MAX_DUPLICATE_BITS = 20
"""Two hashes that differ in no more bits than this are of one picture. Different pictures of one
subject differ in 52 of the 256 bits or more; resized, brightened or compressed copies in 20 or
fewer."""

MIN_DUPLICATE_CORRELATION = 0.75
"""Copies also have nearly the same grey levels: reduced to the side of the hash, they correlate by
0.9 or more, also brightened or with more contrast. One drawing on two backgrounds, whose hashes are
those of a copy, correlates by 0.68."""

WATERMARK_MIN_PICTURES = 5
"""With fewer pictures, lines may agree by chance."""

WATERMARK_MAX_PICTURES = 32
"""More pictures are not compared; this many are enough."""

WATERMARK_SIDE_PX = 192
WATERMARK_MARGIN = 0.15
"""Width of the margin that is searched, as a part of the side. Subjects stand in the middle and may
look alike there."""

WATERMARK_OUTLIERS = 0.15
"""This part of the pictures need not agree: white print cannot be seen on white."""

WATERMARK_MIN_SLOPE = 5.0
"""Grey levels per pixel that count as a line."""

WATERMARK_WINDOW_PX = 16
WATERMARK_MIN_PIXELS = 21
"""Pixels of one window that must agree in all pictures. Photographs of one subject have up to 8,
drawings of one thing with the same crop 20. The same photographs with a watermark of one third
opacity have 13 to 39, depending on its place."""


def note_problems(examples: Iterable[Example], note: Note) -> Iterator[Example]:
    """Pass the examples on, and report their problems to `note`: those of the first few in full."""
    find, with_problem = ProblemFinder(), 0
    for example in examples:
        problems = find(example)
        with_problem += bool(problems)
        if with_problem <= MOST_NAMED:
            for problem in problems:
                note(f"{example.path.name} {problem}")
        yield example
    if with_problem > MOST_NAMED:
        more = counted(with_problem - MOST_NAMED, "more picture")
        note(f"{more} with a problem; `pseudoword prepare` shows them all")
    if shared := find.shared_problem():
        note(shared)


class ProblemFinder:
    """Finds the problems of pictures, one picture at a time.

    Of two pictures that look alike, the second one is reported.
    """

    def __init__(self) -> None:
        self._looks: list[tuple[Path, int, np.ndarray]] = []
        """of each picture: its file, its hash and its grey levels, reduced to the hash's side"""
        self._grey: list[np.ndarray] = []

    def __call__(self, example: Example) -> list[str]:
        """The problems of one picture, each as a sentence without its subject."""
        view = example.views[0]
        problems = []
        if view.crop.scale > MAX_ENLARGEMENT:
            width, height = example.size
            problems.append(
                f"is small: its {width} x {height} pixels are enlarged {view.crop.scale:.1f} times"
            )
        elif sharpness(view.pixels) < MIN_SHARPNESS:
            problems.append("looks blurred")
        if example.has_more_frames:
            problems.append("has several frames, and only the first one is used")
        if original := self._duplicate_of(example):
            same_name = original.name == example.path.name
            problems.append(f"looks like a copy of {original if same_name else original.name}")
        return problems

    def _duplicate_of(self, example: Example) -> Path | None:
        """An earlier picture that looks the same. Remembers this picture."""
        new_hash = difference_hash(example.whole)
        new_grey = _grey_levels(example.whole, HASH_SIDE_PX, HASH_SIDE_PX)
        original = next(
            (
                path
                for path, old_hash, old_grey in self._looks
                if (new_hash ^ old_hash).bit_count() <= MAX_DUPLICATE_BITS
                and correlation(new_grey, old_grey) >= MIN_DUPLICATE_CORRELATION
            ),
            None,
        )
        self._looks.append((example.path, new_hash, new_grey))
        if original is None and len(self._grey) < WATERMARK_MAX_PICTURES:
            grey = _grey_levels(example.whole, WATERMARK_SIDE_PX, WATERMARK_SIDE_PX)
            self._grey.append(grey.astype(np.float32))
        return original

    def shared_problem(self) -> str | None:
        """A problem that all pictures share (duplicates are left out), as a sentence."""
        if len(self._grey) < WATERMARK_MIN_PICTURES:
            return None
        place = find_watermark(self._grey)
        return place and (
            f"the pictures have the same lines {place}, like a watermark, a caption or a frame. "
            "The word would learn those too. Crop them off, or mask them"
        )


def sharpness(pixels: Tensor) -> float:
    """How sharp the sharpest parts of `pixels` `[3, H, W]` in [-1, 1] are.

    The variance of the Laplacian of the 8-bit grey values (Pech-Pacheco et al. 2000), in the third
    sharpest of 64 tiles. So a portrait may have a blurred background, and an icon a plain one.
    """
    grey = pixels.mean(0).double().numpy() * 127.5
    laplacian = (
        4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    )
    high, wide = (max(1, side // TILES) for side in laplacian.shape)
    variances = [
        laplacian[y : y + high, x : x + wide].var()
        for y in range(0, laplacian.shape[0] - high + 1, high)
        for x in range(0, laplacian.shape[1] - wide + 1, wide)
    ]
    return float(sorted(variances)[-3:][0]) if variances else 0.0


def difference_hash(picture: Image.Image) -> int:
    """The 256-bit difference hash (dHash): one bit where the picture gets brighter to the right.

    Copies of a picture have nearly the same hash.
    """
    grey = _grey_levels(picture, HASH_SIDE_PX + 1, HASH_SIDE_PX)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes())


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two arrays of one shape, in [-1, 1]; 1 if one of them is all the same."""
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / spread if spread else 1.0


def find_watermark(pictures: Sequence[np.ndarray]) -> str | None:
    """Where `pictures` have the same lines in their margin, such as `at the bottom right`.

    A watermark survives in the median of the gradients of all pictures (Dekel et al. 2017, on
    removing watermarks). Here nearly all pictures must also agree with that median.

    Args:
        pictures: grey levels `[S, S]` float32, all of one size.
    """
    gradients = np.stack([np.stack(np.gradient(grey)) for grey in pictures])  # [N, 2, S, S]
    median = np.median(gradients, axis=0)
    slope = np.hypot(*median)
    along_median = (gradients * median).sum(1) / (slope + 1e-6)
    agree = np.quantile(along_median, WATERMARK_OUTLIERS, axis=0, method="lower") >= slope / 2
    agree &= slope > WATERMARK_MIN_SLOPE
    side = len(slope)
    margin = round(WATERMARK_MARGIN * side)
    agree[margin:-margin, margin:-margin] = False
    window = WATERMARK_WINDOW_PX
    counts = np.lib.stride_tricks.sliding_window_view(agree, (window, window)).sum((2, 3))
    if counts.max() < WATERMARK_MIN_PIXELS:
        return None
    y, x = ((i + window / 2) / side for i in np.unravel_index(counts.argmax(), counts.shape))
    return f"at the {_place(x, y)}"


def _place(x: float, y: float) -> str:
    """The name of a place in the margin; `x` and `y` are in [0, 1]."""
    vertical = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    horizontal = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    return f"{vertical} {horizontal}".strip()


def _grey_levels(picture: Image.Image, width: int, height: int) -> np.ndarray:
    """The picture reduced to grey levels `[height, width]` int16."""
    small = picture.convert("L").resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.int16)
