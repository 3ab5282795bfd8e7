"""Charts show their lines where the numbers are, whatever the numbers are."""

import io
import time

import pytest
from PIL import Image

from pseudoword.report.plots import Axis, Line, Panel, chart

RED, BLUE = (255, 0, 0), (0, 0, 255)


def drawn(left: Axis, right: Axis | None = None, *, powers: bool = False) -> Image.Image:
    png = chart([Panel(200, left, right)], "a title", "step", powers=powers)
    return Image.open(io.BytesIO(png)).convert("RGB")


def places(picture: Image.Image, colour: tuple[int, ...]) -> list[tuple[int, int]]:
    spots = [(x, y) for x in range(picture.width) for y in range(picture.height)]
    return [spot for spot in spots if picture.getpixel(spot) == colour]


def test_a_line_goes_from_its_first_point_to_its_last() -> None:
    picture = drawn(Axis("loss", [Line([(0, 1), (10, 3)], "#ff0000", width_px=3)]))
    red = sorted(places(picture, RED))
    (left, low), (right, high) = red[0], red[-1]
    assert left < 0.2 * picture.width < 0.8 * picture.width < right
    assert low > high + 100


def test_a_dashed_line_has_gaps() -> None:
    widths = []
    for dashed in (False, True):
        line = Line([(0, 1), (5, 1), (10, 1)], "#ff0000", width_px=3, dashed=dashed)
        widths.append(len({x for x, _ in places(drawn(Axis("loss", [line])), RED)}))
    assert 0.4 < widths[1] / widths[0] < 0.6


def test_two_scales_have_their_own_numbers() -> None:
    left = Axis("a", [Line([(0, 1), (9, 1)], "#ff0000")], from_zero=0.1)
    right = Axis("b", [Line([(0, 1000), (9, 1000)], "#0000ff")], from_zero=1.0)
    picture = drawn(left, right)
    (red,), (blue,) = ({y for _, y in places(picture, colour)} for colour in (RED, BLUE))
    assert 60 < blue - red < 110  # at 10/11 and at 1/2 of 200 pixels


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0.0, 0.0],
        [float("nan"), float("inf"), 1.0],
        [1e308, -1e308],
        [1e-320, 0.0],
        [5.0, 5.0 + 1e-12],
        [10**400, 1],
    ],
)
def test_no_numbers_stop_it(values: list[float]) -> None:
    for from_zero in (None, 0.1):
        line = Line(list(enumerate(values)), "#ff0000", "loss", dots=True, dashed=True)
        assert drawn(Axis("loss", [line], from_zero=from_zero), powers=True).width == 880


def test_a_long_run_is_drawn_in_time() -> None:
    began = time.process_time()
    drawn(Axis("loss", [Line([(i, i % 7) for i in range(100_000)], "#ff0000")]))
    assert time.process_time() - began < 5
