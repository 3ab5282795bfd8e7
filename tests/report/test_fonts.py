"""Labels in any script are drawn if a font has the letters, and never cause a warning."""

import warnings

import pytest
from PIL import Image, ImageFont

from pseudoword.report import charts, fonts, grids

TEXTS = ["a <cat>", "рыжий кот", "猫の写真", "แมว", "고양이", "𓃠", "$\\frac{cat$", "a\u202eb", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_every_title_is_drawn_without_a_warning(text: str) -> None:
    entries = [{"step": i, "loss": 1.0, "norm": 1.0, "lr": 0.1} for i in range(1, 4)]
    with warnings.catch_warnings(action="error"):
        assert charts.curves(entries, text)[:4] == b"\x89PNG"
        assert charts.rate_curve([(0.1, 1.0), (0.2, 2.0)], 0.1, text)[:4] == b"\x89PNG"
    grid = grids.grid([(text, [Image.new("RGB", (8, 8))])], heads=[text])
    assert grid.size[1] > 160


def test_the_font_has_all_letters_if_one_is_installed() -> None:
    plain, russian = fonts.font("cat", 13), fonts.font("кот", 13)
    assert isinstance(russian, ImageFont.FreeTypeFont)
    assert isinstance(plain, ImageFont.FreeTypeFont)
    assert russian.getname()[0] == "DejaVu Sans"
    assert plain.getname() == ImageFont.load_default(13).getname()  # type: ignore[union-attr]
    assert bytes(russian.getmask("к")) != bytes(russian.getmask("\ufffe"))


def test_labels_and_sheets_are_bounded() -> None:
    one = Image.new("RGB", (3000, 2000))
    assert grids.square_grid([one] * 9).width < grids.MAX_WIDTH_PX + 100
    assert grids.square_grid([one]).width == 3000 + 2 * grids.GAP_PX
    grids.grid([("word " * 200_000, [Image.new("RGB", (8, 8))])])


@pytest.mark.parametrize("text", ["short", "w" * 50, "x" * 100_000, ""])
def test_a_label_fits_and_says_where_it_is_cut(text: str) -> None:
    letters = fonts.font(text[:9], 13)
    label = fonts.fitted(text, letters, 90)
    assert letters.getlength(label) <= 90
    assert label == text or (label.endswith("…") and text.startswith(label[:-1]))


def test_a_long_label_is_broken_between_words() -> None:
    letters = fonts.font("", 13)
    lines = fonts.wrapped("a photo of a cat on the beach at noon", letters, 90).split("\n")
    assert " ".join(lines) == "a photo of a cat on the beach at noon"
    assert len(lines) > 2
    assert all(letters.getlength(line) <= 90 for line in lines)
