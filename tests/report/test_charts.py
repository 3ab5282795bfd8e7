import io
from pathlib import Path

import pytest
from PIL import Image

from pseudoword.report import charts, grids, picture_output


def test_a_running_mean_is_the_mean_of_the_last_values() -> None:
    assert charts.running_mean([1, 2, 3, 10], 2) == [1, 1.5, 2.5, 6.5]
    assert charts.running_mean([4, 2], 1) == [4, 2]


def test_a_loss_curve_can_be_drawn_from_the_first_step() -> None:
    for steps in (1, 30):
        entries: list[dict[str, float]] = [{"step": 0, "evaluation": 1.0, "held_out": 1.0}]
        entries += [{"step": i, "loss": 1 / i, "norm": 1.0, "lr": 0.1} for i in range(1, steps + 1)]
        picture = Image.open(io.BytesIO(charts.curves(entries, "a <cat>")))
        assert len(picture.convert("RGB").getcolors(10**6) or []) > 10


def test_each_picture_is_in_its_place_in_a_grid() -> None:
    colours = ["red", "lime", "blue", "black"]
    cells = [Image.new("RGB", (10, 10), c) for c in colours]
    sheet = grids.grid([("", cells[:2]), ("", cells[2:])], cell_px=10)
    pitch = 10 + grids.GAP_PX
    result = [
        sheet.getpixel((grids.GAP_PX + x * pitch + 5, grids.GAP_PX + y * pitch + 5))
        for y in (0, 1)
        for x in (0, 1)
    ]
    assert result == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)]


def test_pictures_in_a_grid_are_not_squashed() -> None:
    wide = grids.in_square(Image.new("RGB", (40, 20), "black"), 80)
    assert wide.getpixel((40, 5)) == (255, 255, 255)
    assert wide.getpixel((40, 40)) == (0, 0, 0)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_pictures_are_written_in_the_format_of_their_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    picture_output.write(Image.new("RGB", (8, 8)), path, "test")
    with Image.open(path) as back:
        assert back.format == {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}[suffix]
