from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pseudoword import images
from pseudoword.errors import PictureError


def corners(path: Path) -> list[Any]:
    picture = images.open_picture(path)
    right, bottom = picture.width - 1, picture.height - 1
    return [picture.getpixel(p) for p in ((0, 0), (right, 0), (0, bottom), (right, bottom))]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    """However the camera was held, red is at the top left and blue at the bottom right."""
    upright = Image.new("RGB", (30, 20), "white")
    upright.paste("red", (0, 0, 8, 8))
    upright.paste("blue", (22, 12, 30, 20))
    turn = Image.Transpose
    undo = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM}
    undo |= {5: turn.TRANSPOSE, 6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert images.open_picture(tmp_path / "a.png").size == (30, 20)
    red, _, _, blue = corners(tmp_path / "a.png")
    assert red == (255, 0, 0)
    assert blue == (0, 0, 255)


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_pictures_are_cut_not_squashed(tmp_path: Path, size: tuple[int, int]) -> None:
    """A circle in the middle of a long picture stays a circle."""
    y, x = np.mgrid[: size[1], : size[0]]
    disc = (x - size[0] / 2 + 0.5) ** 2 + (y - size[1] / 2 + 0.5) ** 2 < 10**2
    Image.fromarray((disc * 255).astype(np.uint8)).save(tmp_path / "disc.png")
    pixels = images.load(tmp_path / "disc.png", 60).pixels
    assert pixels.shape == (3, 60, 60)
    bright = pixels[0] > 0
    assert abs(int(bright.any(0).sum()) - 40) <= 2
    assert abs(int(bright.any(1).sum()) - 40) <= 2


def test_an_example_knows_what_was_cut(tmp_path: Path) -> None:
    sideways = Image.new("RGB", (60, 120))
    exif = sideways.getexif()
    exif[0x0112] = 6  # turned by a quarter: upright it is 120 wide
    sideways.save(tmp_path / "a.jpg", exif=exif)
    seen = images.load(tmp_path / "a.jpg", 32)
    assert seen.original == (60, 120)
    assert seen.corner == (0, 16)


def test_pixels_lie_in_minus_one_to_one(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8), "black")
    picture.paste("white", (0, 0, 8, 4))
    picture.save(tmp_path / "a.png")
    pixels = images.load(tmp_path / "a.png", 8).pixels
    assert pixels[:, 0].unique().tolist() == [1.0]
    assert pixels[:, -1].unique().tolist() == [-1.0]


def test_transparency_becomes_white_in_every_mode(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (4, 4, 8, 8))
    clear.save(tmp_path / "rgba.png")
    clear.convert("LA").save(tmp_path / "la.png")
    palette = clear.convert("RGB").quantize(4)
    palette.info["transparency"] = palette.getpixel((0, 0))
    palette.save(tmp_path / "p.png")
    for name in ("rgba", "la", "p"):
        assert corners(tmp_path / f"{name}.png")[0] == (255, 255, 255), name
        assert corners(tmp_path / f"{name}.png")[3] != (255, 255, 255), name


def test_cmyk_sixteen_bit_and_animation_are_read(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    red, green, blue = corners(tmp_path / "cmyk.jpg")[0]
    assert red > 200
    assert max(green, blue) < 60
    grey = np.full((8, 8), 32768, dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    assert corners(tmp_path / "deep.png")[0] == (127, 127, 127)
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("lime", "red")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert corners(tmp_path / "a.gif")[0] == (0, 255, 0)


def test_filewords_come_from_the_sidecar_else_the_name(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "asleep_in-bed.png")
    assert images.load(tmp_path / "asleep_in-bed.png", 8).filewords == "asleep in bed"
    (tmp_path / "asleep_in-bed.txt").write_text(" grey, striped \n")
    assert images.load(tmp_path / "asleep_in-bed.png", 8).filewords == "grey, striped"


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    first = images.load(tmp_path / "a.png", 8).digest
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "a.png")
    assert images.load(tmp_path / "a.png", 8).digest != first


def test_find_takes_folders_and_files_in_a_stable_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "c.webp", "._b.png"):
        (tmp_path / name).touch()
    assert [p.name for p in images.find([tmp_path])] == ["a.JPG", "b.png", "c.webp"]
    assert images.find([tmp_path / "b.png"]) == [tmp_path / "b.png"]


def test_bad_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="nowhere does not exist"):
        images.find([tmp_path / "nowhere"])
    with pytest.raises(PictureError, match="holds no pictures"):
        images.find([tmp_path])
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(PictureError, match=r"text\.jpg is not a picture"):
        images.load(tmp_path / "text.jpg", 8)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    with pytest.raises(PictureError, match=r"cut\.jpg is damaged"):
        images.load(tmp_path / "cut.jpg", 8)
    (tmp_path / "empty.png").touch()
    with pytest.raises(PictureError, match=r"empty\.png"):
        images.load(tmp_path / "empty.png", 8)
