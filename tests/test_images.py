import sys
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


def test_find_takes_folders_and_files_in_a_stable_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "c.webp", "._b.png"):
        (tmp_path / name).touch()
    assert [p.name for p in images.find([tmp_path])] == ["a.JPG", "b.png", "c.webp"]
    assert images.find([tmp_path / "b.png"]) == [tmp_path / "b.png"]


def test_a_mask_beside_a_picture_is_no_picture(tmp_path: Path) -> None:
    for name in ("a.png", "a-mask.png", "lone-mask.png"):
        (tmp_path / name).touch()
    assert [p.name for p in images.find([tmp_path])] == ["a.png", "lone-mask.png"]


def test_transparency_takes_the_colour_asked_for(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    seen = images.open_picture(tmp_path / "a.png", "#102030")
    assert seen.getpixel((0, 0)) == (16, 32, 48)


def test_broken_exif_does_not_matter(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0garbage")
    assert images.open_picture(tmp_path / "a.jpg").size == (8, 6)


def test_avif_and_heic_are_read(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.avif")
    red, green, _ = corners(tmp_path / "a.avif")[0]
    assert red > 200 > green
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 64), "red")).save(tmp_path / "a.heic")
    red, green, _ = corners(tmp_path / "a.heic")[0]
    assert red > 200 > green


def test_heic_without_its_library_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(PictureError, match=r"a\.jpg is a HEIC picture.*heic"):
        images.open_picture(tmp_path / "a.jpg")


def test_bad_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="nowhere does not exist"):
        images.find([tmp_path / "nowhere"])
    with pytest.raises(PictureError, match="holds no pictures"):
        images.find([tmp_path])
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(PictureError, match=r"text\.jpg is not a picture"):
        images.open_picture(tmp_path / "text.jpg")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    with pytest.raises(PictureError, match=r"cut\.jpg is damaged"):
        images.open_picture(tmp_path / "cut.jpg")
    (tmp_path / "empty.png").touch()
    with pytest.raises(PictureError, match=r"empty\.png"):
        images.open_picture(tmp_path / "empty.png")
