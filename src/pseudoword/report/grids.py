"""Pictures side by side, with labels."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from pseudoword.report.fonts import font, wrapped

GAP_PX, LABEL_PX = 8, 150
INK = (40, 40, 40)
MAX_WIDTH_PX = 8192
"""A grid of many pictures is not wider than this."""


def grid(
    rows: Sequence[tuple[str, Sequence[Image.Image]]],
    *,
    heads: Sequence[str] = (),
    cell_px: int = 160,
) -> Image.Image:
    """Rows of pictures, with a label left of each row and a heading above each column."""
    label_px = LABEL_PX if any(label for label, _ in rows) else 0
    columns = max(len(pictures) for _, pictures in rows)
    head_px = 34 if heads else 0
    pitch = cell_px + GAP_PX
    size = (label_px + columns * pitch + GAP_PX, head_px + len(rows) * pitch + GAP_PX)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        x, letters = label_px + GAP_PX + column * pitch, font(head, 13)
        pen.multiline_text((x, 4), wrapped(head, letters, cell_px), INK, letters, spacing=1)
    for row, (label, pictures) in enumerate(rows):
        y, letters = head_px + GAP_PX + row * pitch, font(label, 13)
        lines = wrapped(label, letters, label_px - 2 * GAP_PX)
        pen.multiline_text((GAP_PX, y + 4), lines, INK, letters)
        for column, picture in enumerate(pictures):
            sheet.paste(in_square(picture, cell_px), (label_px + GAP_PX + column * pitch, y))
    return sheet


def in_square(picture: Image.Image, side_px: int) -> Image.Image:
    """The picture scaled to fit into a square of `side_px`, centred on white."""
    square = Image.new("RGB", (side_px, side_px), "white")
    resized = fit_within(picture.convert("RGB"), side_px)
    square.paste(resized, ((side_px - resized.width) // 2, (side_px - resized.height) // 2))
    return square


def fit_within(picture: Image.Image, side_px: int) -> Image.Image:
    """The picture scaled to fit into a square; it is at least one pixel wide.

    Pillow's own `ImageOps.contain` fails on very thin pictures.
    """
    scale = side_px / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def before_after(
    true_pictures: Sequence[Image.Image],
    heads: Sequence[str],
    before: Sequence[Image.Image],
    after: Sequence[Image.Image],
    init: str,
    token: str,
    are: str,
) -> Image.Image:
    """True pictures, and below them pictures drawn `before` and `after` a word was learned.

    `heads` are the prompts, one per column. `are` says what the true pictures are, such as "learned
    from".
    """
    top = grid([(are, true_pictures)])
    below = grid([(f"before: {init}", before), (f"after: {token}", after)], heads=heads)
    sheet = Image.new("RGB", (max(top.width, below.width), top.height + below.height), "white")
    sheet.paste(top, (0, 0))
    sheet.paste(below, (0, top.height))
    return sheet


def square_grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures in a grid that is nearly square, in their own size if that is not too wide."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = [("", pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    return grid(rows, cell_px=max(1, min(max(pictures[0].size), MAX_WIDTH_PX // columns)))
