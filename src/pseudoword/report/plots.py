"""Line charts, drawn by Pillow: importing a plotting library takes longer than a short run."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw

from pseudoword.report.fonts import fitted, font

WIDTH_PX, LEFT_PX, RIGHT_PX = 880, 78, 78
TOP_PX, BOTTOM_PX, GAP_PX = 34, 50, 14
TEXT_PX, TICK_PX, DASH_PX = 13, 4, 7
INK, FRAME = "#202020", "#808080"

SMOOTH = 3
"""Lines are drawn larger by this factor and then reduced, so that they have no steps."""

MANY = 5000
"""Points that are so close to each other that nobody sees how they are joined, which takes long."""

LARGEST = 1e100
"""Numbers beyond it, and what is none, are left out."""

LEAST = 1e-100
"""Where all numbers are 0."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line through points, from left to right."""

    points: Sequence[Point]
    colour: str
    label: str = ""
    """in the legend; without one, it is not there"""
    width_px: float = 1.7
    dots: bool = False
    dashed: bool = False

    @property
    def drawn(self) -> list[Point]:
        """The points that can be drawn."""
        return [(x, y) for x, y in self.points if abs(x) < LARGEST and abs(y) < LARGEST]


@dataclass(frozen=True)
class Axis:
    """Lines that share a scale from bottom to top."""

    label: str
    lines: Sequence[Line]
    colour: str = INK
    from_zero: float | None = None
    """the scale begins at 0, and ends above the largest value by this fraction of it"""

    @property
    def span(self) -> Point:
        """The values at the bottom and at the top."""
        values = [y for line in self.lines for _, y in line.drawn]
        if self.from_zero is None:
            return _with_room(values)
        return min([0.0, *values]), max([LEAST, *values]) * (1 + self.from_zero)


@dataclass(frozen=True)
class Panel:
    """A chart with a scale at the left, and perhaps another one at the right."""

    height_px: int
    left: Axis
    right: Axis | None = None
    verticals: Sequence[tuple[float, str, str]] = ()
    """dashed lines from bottom to top: where, in which colour, and their label"""

    @property
    def axes(self) -> list[Axis]:
        """The scales that there are."""
        return [self.left] if self.right is None else [self.left, self.right]


def chart(panels: Sequence[Panel], title: str, x_label: str, *, powers: bool = False) -> bytes:
    """Panels below each other with one scale from left to right, as PNG.

    Args:
        panels: from top to bottom.
        title: above them.
        x_label: below them.
        powers: whether the values from left to right are powers of ten.
    """
    inside = sum(panel.height_px for panel in panels) + GAP_PX * (len(panels) - 1)
    size = (WIDTH_PX, TOP_PX + inside + BOTTOM_PX)
    drawing = _Drawing(size, _with_room(_all_x(panels)), powers)
    letters = font(title, TEXT_PX + 2)
    drawing.write(
        (WIDTH_PX // 2, TOP_PX // 2), fitted(title, letters, WIDTH_PX - 40), "mm", TEXT_PX + 2
    )
    top = TOP_PX
    for panel in panels:
        drawing.panel(panel, top, last=panel is panels[-1])
        top += panel.height_px + GAP_PX
    drawing.write((WIDTH_PX // 2, size[1] - 12), x_label, "mm")
    return drawing.png()


class _Drawing:
    """A picture in the making: lines first, large; then text, once it is reduced."""

    def __init__(self, size: tuple[int, int], span: Point, powers: bool) -> None:
        self._size, self._span, self._powers = size, span, powers
        self._lines = Image.new("RGB", (size[0] * SMOOTH, size[1] * SMOOTH), "white")
        self._pen = ImageDraw.Draw(self._lines)
        self._texts: list[tuple[Point, str, str, int, str, bool]] = []

    def write(
        self,
        at: Point,
        text: str,
        anchor: str,
        size_px: int = TEXT_PX,
        colour: str = INK,
        upwards: bool = False,
    ) -> None:
        """Text at a point; `anchor` is Pillow's."""
        self._texts.append((at, text, anchor, size_px, colour, upwards))

    def panel(self, panel: Panel, top: int, *, last: bool) -> None:
        """Draw a panel; the last one has the numbers from left to right."""
        bottom = top + panel.height_px
        left, right = LEFT_PX, WIDTH_PX - RIGHT_PX
        for at, colour, _ in panel.verticals:
            x = self._x(at)
            self._line([(x, bottom), (x, top)], Line((), colour, dashed=True))
        for axis, edge, outwards in zip(panel.axes, (left, right), (-1, 1), strict=False):
            low, high = axis.span

            def y(value: float, low: float = low, high: float = high) -> float:
                return bottom - (value - low) / (high - low) * panel.height_px

            for line in axis.lines:
                self._line([(self._x(x), y(value)) for x, value in line.drawn], line)
            for tick in _ticks(low, high, panel.height_px // 40):
                self._tick((edge, y(tick)), (outwards * TICK_PX, 0))
                anchor = "rm" if outwards < 0 else "lm"
                place = (edge + outwards * (TICK_PX + 3), y(tick))
                self.write(place, f"{tick:.4g}", anchor, TEXT_PX - 1)
            middle = (edge + outwards * 64, (top + bottom) / 2)
            self.write(middle, axis.label, "mm", TEXT_PX, axis.colour, upwards=True)
        for tick in _ticks(*self._span, 9):
            if self._powers and tick != round(tick):
                continue
            self._tick((self._x(tick), bottom), (0, TICK_PX))
            if last:
                text = f"{10**tick:g}" if self._powers else f"{tick:g}"
                self.write((self._x(tick), bottom + 14), text, "mm", TEXT_PX - 1)
        frame = [left * SMOOTH, top * SMOOTH, right * SMOOTH, bottom * SMOOTH]
        self._pen.rectangle(frame, outline=FRAME, width=SMOOTH)
        self._legend(panel, top)

    def png(self) -> bytes:
        """The picture."""
        picture = self._lines.reduce(SMOOTH)
        pen = ImageDraw.Draw(picture)
        for at, text, anchor, size_px, colour, upwards in self._texts:
            letters = font(text, size_px)
            if upwards:
                _write_upwards(picture, at, text, size_px, colour)
            else:
                pen.text(at, text, colour, letters, anchor=anchor)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()

    def _x(self, value: float) -> float:
        low, high = self._span
        return LEFT_PX + (value - low) / (high - low) * (WIDTH_PX - LEFT_PX - RIGHT_PX)

    def _line(self, points: Sequence[Point], line: Line) -> None:
        width = round(line.width_px * SMOOTH)
        large = [(x * SMOOTH, y * SMOOTH) for x, y in points]
        for piece in _dashes(large, DASH_PX * SMOOTH) if line.dashed else [large] * bool(large):
            joint = "curve" if len(piece) < MANY else None
            self._pen.line(piece, line.colour, width, joint=joint)
        radius = 3 * SMOOTH
        for x, y in large if line.dots or len(large) == 1 else ():
            self._pen.ellipse((x - radius, y - radius, x + radius, y + radius), line.colour)

    def _tick(self, at: Point, way: Point) -> None:
        ends = [at, (at[0] + way[0], at[1] + way[1])]
        self._line(ends, Line((), FRAME, width_px=1))

    def _legend(self, panel: Panel, top: int) -> None:
        """The names of the lines, at the upper right."""
        named = [(line, line.label) for axis in panel.axes for line in axis.lines]
        named += [(Line((), colour, dashed=True), label) for _, colour, label in panel.verticals]
        named = [(line, label) for line, label in named if label]
        wide = max((font(label, TEXT_PX).getlength(label) for _, label in named), default=0)
        left = WIDTH_PX - RIGHT_PX - wide - 50
        for row, (line, label) in enumerate(named):
            y = top + 16 + 19 * row
            self._line([(left, y), (left + 30, y)], line)
            self.write((left + 38, y), label, "lm")


def _write_upwards(picture: Image.Image, at: Point, text: str, size_px: int, colour: str) -> None:
    letters = font(text, size_px)
    label = Image.new("RGB", (round(letters.getlength(text)) + 2, 2 * size_px), "white")
    pen = ImageDraw.Draw(label)
    pen.text((label.width / 2, size_px), text, colour, letters, anchor="mm")
    turned = label.transpose(Image.Transpose.ROTATE_90)
    picture.paste(turned, (round(at[0] - turned.width / 2), round(at[1] - turned.height / 2)))


def _all_x(panels: Sequence[Panel]) -> list[float]:
    lines = [line for panel in panels for axis in panel.axes for line in axis.lines]
    return [x for line in lines for x, _ in line.drawn] + [
        x for panel in panels for x, *_ in panel.verticals
    ]


def _with_room(values: Sequence[float]) -> Point:
    """The least and the largest value, with a little room around them."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = max(0.05 * (high - low), 1e-9 * abs(high)) or 1.0
    return low - room, high + room


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two values, at most about so many."""
    step = (high - low) / most
    power = 10.0 ** math.floor(math.log10(step))
    step = power * next((nice for nice in (1, 2, 5) if nice * power >= step), 10)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def _dashes(points: Sequence[Point], length: float) -> Iterator[list[Point]]:
    """Every other piece of that length of a line through the points."""
    begin, dash = 0.0, [*points[:1]]
    for (x0, y0), (x1, y1) in pairwise(points):
        way = math.hypot(x1 - x0, y1 - y0)
        for cut in range(math.floor(begin / length) + 1, math.floor((begin + way) / length) + 1):
            part = (cut * length - begin) / way
            at = (x0 + (x1 - x0) * part, y0 + (y1 - y0) * part)
            if cut % 2:
                yield [*dash, at]
            dash = [] if cut % 2 else [at]
        begin += way
        if dash:
            dash.append((x1, y1))
    if len(dash) > 1:
        yield dash
