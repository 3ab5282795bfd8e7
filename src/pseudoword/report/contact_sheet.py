"""The contact sheet of `prepare`: each picture, where its crops lie, and the crops themselves."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pseudoword.data.examples import Example, View
from pseudoword.report.fonts import MAX_LABEL_CHARS, fitted, font
from pseudoword.report.grids import fit_within

VIEW_PX, GAP_PX, MARGIN_PX, LINE_PX, WIDEST_PX = 220, 10, 18, 18, 1500
TALLEST_PX = 12_000
"""A sheet grows to this and one row more, whatever the number of pictures."""
MAX_VIEWS = 5
"""Views of one picture; of more, these and their number."""
BACKGROUND, INK, PALE, AMBER, OUTLINE = "white", "#222222", "#777777", "#b45309", "#f97316"


def panel(example: Example, prompt: str, problems: Sequence[str]) -> Image.Image:
    """One picture: the whole with its frames drawn in, its views, and what is said of it."""
    row = tiles(example)
    width = sum(tile.width for tile in row) + GAP_PX * (len(row) - 1)
    size, frame = example.size, example.views[0].crop.size
    head = f"{size[0]} x {size[1]} to {frame[0]} x {frame[1]}"
    if len(example.views) > 1:
        head += f", {len(example.views)} views"
    if len(example.views) > MAX_VIEWS:
        head += f", {MAX_VIEWS} of them here"
    lines = [(example.path.name, INK, 15), (head, PALE, 13), (prompt, INK, 13)]
    lines += [(problem, AMBER, 13) for problem in problems]
    made = Image.new("RGB", (width, VIEW_PX + 6 + LINE_PX * len(lines)), BACKGROUND)
    left = 0
    for tile in row:
        made.paste(tile, (left, (VIEW_PX - tile.height) // 2))
        left += tile.width + GAP_PX
    pen = ImageDraw.Draw(made)
    for i, (text, ink, px) in enumerate(lines):
        letters = font(text[:MAX_LABEL_CHARS], px)
        pen.text((0, VIEW_PX + 5 + i * LINE_PX), fitted(text, letters, width), ink, letters)
    return made


def tiles(example: Example) -> list[Image.Image]:
    """The whole picture with its frames drawn in, then its first views; each fits `VIEW_PX`."""
    views = example.views[:MAX_VIEWS]
    return [_picture_with_crops(example), *map(_view_picture, views)]


def has_room(cards: Sequence[Image.Image]) -> bool:
    """Whether a sheet with these cards on it takes another one."""
    return sum(_heights(_rows(cards))) < TALLEST_PX


def arrange(cards: Sequence[Image.Image], title: str) -> Image.Image:
    """The cards from left to right, in as many rows as they need."""
    rows = _rows(cards)
    width = max(sum(c.width for c in row) + 2 * MARGIN_PX * len(row) for row in rows)
    heights = _heights(rows)
    made = Image.new("RGB", (width, sum(heights) + 3 * MARGIN_PX), BACKGROUND)
    pen = ImageDraw.Draw(made)
    pen.text((MARGIN_PX, MARGIN_PX), title, INK, ImageFont.load_default(17))
    top = 3 * MARGIN_PX
    for row, height in zip(rows, heights, strict=True):
        left = MARGIN_PX
        for one in row:
            made.paste(one, (left, top))
            left += one.width + 2 * MARGIN_PX
        top += height
    return made


def _rows(cards: Sequence[Image.Image]) -> list[list[Image.Image]]:
    rows: list[list[Image.Image]] = []
    for one in cards:
        used = sum(other.width + 2 * MARGIN_PX for other in rows[-1]) if rows else WIDEST_PX
        if used + one.width > WIDEST_PX:
            rows.append([])
        rows[-1].append(one)
    return rows


def _heights(rows: Sequence[Sequence[Image.Image]]) -> list[int]:
    return [max(card.height for card in row) + MARGIN_PX for row in rows]


def _picture_with_crops(example: Example) -> Image.Image:
    """The picture, pale where no view looks, each view's frame outlined."""
    small = fit_within(example.whole, VIEW_PX)
    scale = small.width / example.whole.width
    seen = Image.new("L", small.size, 90)
    boxes = []
    for view in example.views:
        left, top, right, bottom = (round(edge * scale) for edge in view.crop.box)
        left, top = min(left, small.width - 1), min(top, small.height - 1)
        right, bottom = min(right, small.width), min(bottom, small.height)
        boxes.append((left, top, max(left + 1, right), max(top + 1, bottom)))  # of thin pictures
        seen.paste(255, boxes[-1])
    made = Image.composite(small, Image.new("RGB", small.size, BACKGROUND), seen)
    pen = ImageDraw.Draw(made)
    for left, top, right, bottom in boxes:
        pen.rectangle((left, top, right - 1, bottom - 1), outline=OUTLINE, width=2)
    return made


def _view_picture(view: View) -> Image.Image:
    """What the model sees; striped where it does not count."""
    pixels = ((view.pixels.permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    made = Image.fromarray(pixels)
    if view.mask is not None:
        made = Image.composite(made, _stripes(view.mask), _grey(view.mask))
    return fit_within(made, VIEW_PX)


def _stripes(mask: Tensor) -> Image.Image:
    height, width = mask.shape
    period = max(4, height // 24)
    y, x = np.mgrid[:height, :width]
    light = ((x + y) // period % 2 == 0)[..., None]
    return Image.fromarray(np.where(light, 235, 190).repeat(3, -1).astype(np.uint8))


def _grey(mask: Tensor) -> Image.Image:
    return Image.fromarray((mask.numpy() * 255).astype(np.uint8))
