"""The contact sheet of `prepare`: each picture with its crops outlined, and the crops."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pseudoword.data.examples import Example, View
from pseudoword.report.fonts import MAX_LABEL_CHARS, fitted, font
from pseudoword.report.grids import fit_within

VIEW_PX, GAP_PX, MARGIN_PX, LINE_PX, WIDEST_PX = 220, 10, 18, 18, 1500
TALLEST_PX = 12_000
"""A sheet that is taller than this gets no more rows."""
MAX_VIEWS = 5
"""Views of one picture that are shown; a text gives the number of all."""
BACKGROUND, INK, PALE, AMBER, OUTLINE = "white", "#222222", "#777777", "#b45309", "#f97316"


def panel(
    example: Example, row: Sequence[Image.Image], prompt: str, problems: Sequence[str]
) -> Image.Image:
    """One picture: its `tiles` in a row, and a text about it."""
    lines = _lines(example, prompt, problems)
    width = sum(tile.width for tile in row) + GAP_PX * (len(row) - 1)
    drawn = Image.new("RGB", (width, VIEW_PX + 6 + LINE_PX * len(lines)), BACKGROUND)
    left = 0
    for tile in row:
        drawn.paste(tile, (left, (VIEW_PX - tile.height) // 2))
        left += tile.width + GAP_PX
    pen = ImageDraw.Draw(drawn)
    for i, (text, ink, px) in enumerate(lines):
        letters = font(text[:MAX_LABEL_CHARS], px)
        pen.text((0, VIEW_PX + 5 + i * LINE_PX), fitted(text, letters, width), ink, letters)
    return drawn


def tiles(example: Example) -> list[Image.Image]:
    """The whole picture with its crops outlined, then its first views; each fits `VIEW_PX`."""
    views = example.views[:MAX_VIEWS]
    return [_picture_with_crops(example), *map(_view_picture, views)]


def _lines(example: Example, prompt: str, problems: Sequence[str]) -> list[tuple[str, str, int]]:
    """The lines of a panel's text: text, colour, size in pixels."""
    (width, height), (crop_width, crop_height) = example.size, example.views[0].crop.size
    sizes = f"{width} x {height} to {crop_width} x {crop_height}"
    if len(example.views) > 1:
        sizes += f", {len(example.views)} views"
    if len(example.views) > MAX_VIEWS:
        sizes += f", {MAX_VIEWS} of them shown"
    return [
        (example.path.name, INK, 15),
        (sizes, PALE, 13),
        (prompt, INK, 13),
        *((problem, AMBER, 13) for problem in problems),
    ]


def has_room(panels: Sequence[Image.Image]) -> bool:
    """Whether a sheet with these panels has room for another one."""
    return sum(_heights(_rows(panels))) < TALLEST_PX


def arrange(panels: Sequence[Image.Image], title: str) -> Image.Image:
    """The panels from left to right, in as many rows as they need."""
    rows = _rows(panels)
    width = max(sum(p.width for p in row) + 2 * MARGIN_PX * len(row) for row in rows)
    heights = _heights(rows)
    sheet = Image.new("RGB", (width, sum(heights) + 3 * MARGIN_PX), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN_PX, MARGIN_PX), title, INK, ImageFont.load_default(17))
    top = 3 * MARGIN_PX
    for row, height in zip(rows, heights, strict=True):
        left = MARGIN_PX
        for each in row:
            sheet.paste(each, (left, top))
            left += each.width + 2 * MARGIN_PX
        top += height
    return sheet


def _rows(panels: Sequence[Image.Image]) -> list[list[Image.Image]]:
    rows: list[list[Image.Image]] = []
    for each in panels:
        used = sum(p.width + 2 * MARGIN_PX for p in rows[-1]) if rows else WIDEST_PX
        if used + each.width > WIDEST_PX:
            rows.append([])
        rows[-1].append(each)
    return rows


def _heights(rows: Sequence[Sequence[Image.Image]]) -> list[int]:
    return [max(p.height for p in row) + MARGIN_PX for row in rows]


def _picture_with_crops(example: Example) -> Image.Image:
    """The picture with each crop outlined, pale where there is no crop."""
    small = fit_within(example.whole, VIEW_PX)
    scale = small.width / example.whole.width
    brightness = Image.new("L", small.size, 90)
    boxes = []
    for view in example.views:
        left, top, right, bottom = (round(edge * scale) for edge in view.crop.box)
        left, top = min(left, small.width - 1), min(top, small.height - 1)
        right, bottom = min(right, small.width), min(bottom, small.height)
        boxes.append((left, top, max(left + 1, right), max(top + 1, bottom)))  # never empty
        brightness.paste(255, boxes[-1])
    outlined = Image.composite(small, Image.new("RGB", small.size, BACKGROUND), brightness)
    pen = ImageDraw.Draw(outlined)
    for left, top, right, bottom in boxes:
        pen.rectangle((left, top, right - 1, bottom - 1), outline=OUTLINE, width=2)
    return outlined


def _view_picture(view: View) -> Image.Image:
    """What the model sees, with stripes where the mask leaves it out."""
    pixels = ((view.pixels.permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    picture = Image.fromarray(pixels)
    if view.mask is not None:
        grey = Image.fromarray((view.mask.numpy() * 255).astype(np.uint8))
        picture = Image.composite(picture, _stripes(view.mask), grey)
    return fit_within(picture, VIEW_PX)


def _stripes(mask: Tensor) -> Image.Image:
    height, width = mask.shape
    period = max(4, height // 24)
    y, x = np.mgrid[:height, :width]
    light = ((x + y) // period % 2 == 0)[..., None]
    return Image.fromarray(np.where(light, 235, 190).repeat(3, -1).astype(np.uint8))
