"""Pictures of a run: loss curves and labelled grids; and sheets that are known again."""

import hashlib
import io
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from pseudoword.errors import SettingsError, StorageError
from pseudoword.files import read_regular
from pseudoword.formats.infotext import png_text
from pseudoword.outputs import check_writable, next_free, would_replace, write_new
from pseudoword.report.fonts import any_script, font, wrapped
from pseudoword.text import reason, visible

GAP_PX = 8
INK = (40, 40, 40)
WIDEST_PX = 8192
"""Of a contact sheet."""

KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""The endings that pictures are written with -> Pillow's formats."""

SOFTWARE = 0x0131
"""EXIF's tag for what made a picture."""

LARGEST_NBYTES = 2**30
"""No sheet is larger."""


@any_script()
def curves(entries: Sequence[Mapping[str, float]], title: str) -> bytes:
    """What a log's lines tell, as PNG: losses above; norm and rate below.

    The thick grey line is a running mean of the training loss.
    """
    figure = empty_figure(8, 5.5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    steps, losses = _column(entries, "loss")
    above.plot(steps, losses, color="#dddddd", linewidth=0.8)
    smooth = running_mean(losses, max(1, len(losses) // 10))
    above.plot(steps, smooth, color="#888888", label="training loss")
    for name, label, colour in (
        ("evaluation", "evaluation loss", "#c03030"),
        ("held_out", "loss on held-out pictures", "#e09020"),
    ):
        if _column(entries, name)[0]:
            above.plot(*_column(entries, name), color=colour, marker=".", label=label)
    above.set_ylabel("loss")
    above.set_title(visible(title), parse_math=False)
    above.legend(frameon=False)
    below.plot(*_column(entries, "norm"), color="#3060c0")
    below.set_xlabel("step")
    below.set_ylabel("norm of the rows", color="#3060c0")
    rates = below.twinx()
    rates.plot(*_column(entries, "lr"), color="#309050", linestyle="--")
    rates.set_ylabel("learning rate", color="#309050")
    for axes, room in ((below, 0.1), (rates, 0.4)):  # or two constants would lie on one line
        axes.axhline(0, color="none")  # a norm that is held would else show its rounding alone
        axes.margins(y=room)
        axes.set_ylim(bottom=0)
    return png_of(figure)


@any_script()
def rate_curve(tried: Sequence[Sequence[float]], chosen: float, token: str) -> bytes:
    """What a rate range test saw, as PNG: evaluation loss over rate, and the rate it chose."""
    figure = empty_figure(8, 4)
    axes = figure.subplots()
    axes.semilogx(*zip(*tried, strict=True), color="#c03030", marker=".")
    axes.axvline(chosen, color="#309050", linestyle="--", label=f"chosen: {chosen:g}")
    axes.set(xlabel="learning rate", ylabel="evaluation loss")
    axes.set_title(visible(f"rates tried for {token}"), parse_math=False)
    axes.legend(frameon=False)
    return png_of(figure)


def _column(entries: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of the lines that have `name`."""
    having = [entry for entry in entries if name in entry]
    return [entry["step"] for entry in having], [entry[name] for entry in having]


def empty_figure(width: float, height: float) -> Any:
    """A figure of matplotlib to draw into, in inches; without pyplot, so nothing is global."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Any) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # letters that its font has not
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
    for column, head in enumerate(heads):
        x, letters = label_px + GAP_PX + column * pitch, font(head, 13)
        pen.multiline_text((x, 4), wrapped(head, letters, cell_px), INK, letters, spacing=1)
    for row, (label, pictures) in enumerate(rows):
        y, letters = head_px + GAP_PX + row * pitch, font(label, 13)
        lines = wrapped(label, letters, label_px - 2 * GAP_PX)
        pen.multiline_text((GAP_PX, y + 4), lines, INK, letters)
        for column, picture in enumerate(pictures):
            sheet.paste(enlarge(picture, cell_px), (label_px + GAP_PX + column * pitch, y))
    return sheet


def enlarge(picture: Image.Image, side_px: int) -> Image.Image:
    """`picture` fitted into a square of `side_px`, centred on white if it is not square."""
    square = Image.new("RGB", (side_px, side_px), "white")
    resized = within(picture.convert("RGB"), side_px)
    square.paste(resized, ((side_px - resized.width) // 2, (side_px - resized.height) // 2))
    return square


def within(picture: Image.Image, side_px: int) -> Image.Image:
    """`picture` as large as it can be within a square; a thin one stays a pixel wide.

    Some versions of Pillow's own `ImageOps.contain` fail where it would be less than a pixel.
    """
    scale = side_px / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


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
    """All pictures side by side, as near to a square as they go, in their own size if they fit."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = [("", pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    return grid(rows, cell_px=max(1, min(max(pictures[0].size), WIDEST_PX // columns)))


def encoded(picture: Image.Image, kind: str, exif: Image.Exif | None = None) -> bytes:
    """`picture` in a format of Pillow's. A PNG keeps the text that says how it was drawn.

    Raises:
        SettingsError: the format cannot hold a picture of this size.
    """
    buffer = io.BytesIO()
    options: dict[str, Any] = {"pnginfo": png_text(picture)} if kind == "PNG" else {}
    try:
        picture.save(buffer, kind, **options, **({"exif": exif} if exif else {}))
    except (OSError, ValueError) as error:
        size = f"{picture.width} x {picture.height}"
        raise SettingsError(
            f"a picture of {size} pixels cannot be kept as {kind} ({reason(error)}); as PNG it can"
        ) from error
    return buffer.getvalue()


def kind_of(path: Path) -> str:
    """The format that the path's ending asks for.

    Raises:
        SettingsError: none.
    """
    if path.suffix.lower() not in KINDS:
        raise SettingsError(f"--out {path}: give a file that ends in .png, .jpg or .webp")
    return KINDS[path.suffix.lower()]


def check_sheet(path: Path, maker: str, *, overwrite: bool = False) -> None:
    """Find out before any work whether `write_sheet` can write, and loses nothing of anyone's.

    Raises:
        SettingsError: the path's ending is that of no picture.
        StorageError: it cannot be written, or is there, not made by `maker`.
    """
    kind_of(path)
    check_writable(path)
    if os.path.lexists(path) and not (overwrite or _made_by(path, maker)):
        raise StorageError(would_replace([path]))


def next_sheet(first: Path, maker: str) -> Path:
    """`first`, or the same name with the first number behind it, that is free or `maker`'s."""
    return next_free(first, lambda path: [] if _made_by(path, maker) else [path])


def write_sheet(picture: Image.Image, path: Path, maker: str, *, overwrite: bool = False) -> None:
    """Write a picture that tells who made it, over nothing but an earlier one of the same maker.

    Raises:
        StorageError: it cannot be written, or something else is there.
    """
    kind = kind_of(path)
    with Image.open(io.BytesIO(encoded(picture, kind)), formats=[kind]) as as_kept:
        exif = Image.Exif()
        exif[SOFTWARE] = _mark(as_kept, maker)
    ours = overwrite or _made_by(path, maker)
    write_new(path, encoded(picture, kind, exif), overwrite=ours)


def _made_by(path: Path, maker: str) -> bool:
    """Whether a picture is just as `maker` has written it."""
    try:
        data = io.BytesIO(read_regular(path, LARGEST_NBYTES, StorageError))
        kinds = sorted({*KINDS.values()})
        ignored = warnings.catch_warnings(action="ignore")  # of what else is in it
        with ignored, Image.open(data, formats=kinds) as picture:
            return bool(picture.getexif().get(SOFTWARE) == _mark(picture, maker))
    except Exception:  # no picture of ours, whatever it is
        return False


def _mark(picture: Image.Image, maker: str) -> str:
    digest = hashlib.blake2b(picture.convert("RGB").tobytes(), digest_size=16)
    return f"pseudoword {maker} {digest.hexdigest()}"
