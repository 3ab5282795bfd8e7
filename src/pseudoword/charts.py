"""Pictures of a run: loss curves and labelled grids."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pseudoword.files import write_whole
from pseudoword.infotext import png_text

GAP_PX = 8
INK = (40, 40, 40)


def loss_curve(entries: Sequence[dict[str, float]], title: str) -> bytes:
    """Loss and norm over steps as PNG; the thick line is a running mean.

    The figure is drawn without pyplot, whose global state does not belong in a library.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [entry["step"] for entry in entries]
    losses = [entry["loss"] for entry in entries]
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    left.plot(steps, losses, color="#bbbbbb", linewidth=0.8)
    left.plot(steps, running_mean(losses, max(1, len(losses) // 10)), color="#c03030", label="loss")
    left.set(xlabel="step", ylabel="loss", title=title)
    right = left.twinx()
    norms = [entry["norm"] for entry in entries]
    right.plot(steps, norms, color="#3060c0", linewidth=1, label="norm of the rows")
    right.set_ylabel("norm of the rows")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Mean of each value and up to `width - 1` before it."""
    means, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - width] if i >= width else 0.0)
        means.append(total / min(i + 1, width))
    return means


def grid(
    rows: Sequence[tuple[str, Sequence[Image.Image]]],
    *,
    heads: Sequence[str] = (),
    cell_px: int = 160,
    label_px: int = 150,
) -> Image.Image:
    """Rows of pictures with a label to the left of each row and a head above each column."""
    label_px = label_px if any(label for label, _ in rows) else 0
    columns = max(len(pictures) for _, pictures in rows)
    head_px = 34 if heads else 0
    pitch = cell_px + GAP_PX
    size = (label_px + columns * pitch + GAP_PX, head_px + len(rows) * pitch + GAP_PX)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for column, head in enumerate(heads):
        x = label_px + GAP_PX + column * pitch
        pen.multiline_text((x, 4), _wrap(head, cell_px, font), INK, font, spacing=1)
    for row, (label, pictures) in enumerate(rows):
        y = head_px + GAP_PX + row * pitch
        pen.multiline_text((GAP_PX, y + 4), _wrap(label, label_px - 2 * GAP_PX, font), INK, font)
        for column, picture in enumerate(pictures):
            sheet.paste(enlarge(picture, cell_px), (label_px + GAP_PX + column * pitch, y))
    return sheet


def enlarge(picture: Image.Image, side_px: int) -> Image.Image:
    """`picture` fitted into a square of `side_px`, centred on white if it is not square."""
    scale = side_px / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    square = Image.new("RGB", (side_px, side_px), "white")
    resized = picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    square.paste(resized, ((side_px - width) // 2, (side_px - height) // 2))
    return square


def before_after(
    learned_from: Sequence[Image.Image],
    heads: Sequence[str],
    before: Sequence[Image.Image],
    after: Sequence[Image.Image],
    init: str,
    token: str,
) -> Image.Image:
    """The pictures learned from, then what the starting word and the new word draw."""
    top = grid([("learned from", learned_from)])
    below = grid([(f"before: {init}", before), (f"after: {token}", after)], heads=heads)
    sheet = Image.new("RGB", (max(top.width, below.width), top.height + below.height), "white")
    sheet.paste(top, (0, 0))
    sheet.paste(below, (0, top.height))
    return sheet


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures side by side, as near to a square as they go, in their own size."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = [("", pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    return grid(rows, cell_px=max(pictures[0].size))


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write `picture` in the format of the path's ending, whole or not at all.

    A PNG keeps the text that says how it was drawn.
    """
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[path.suffix.lower()]
    options = {"pnginfo": png_text(picture)} if kind == "PNG" else {}
    picture.save(buffer, kind, **options)
    write_whole(path, buffer.getvalue())


def _wrap(text: str, width_px: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width_px:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
