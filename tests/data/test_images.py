import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pseudoword.data import decoding_memory, images, picture_files
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


def test_one_level_of_sixteen_bit_grey_may_be_transparent(tmp_path: Path) -> None:
    grey = np.full((8, 8), 1000, dtype=np.uint16)
    grey[:4] = 1001  # in 8 bits the same
    Image.fromarray(grey).save(tmp_path / "deep.png", transparency=1000)
    opened = images.decode(images.read(tmp_path / "deep.png"), tmp_path / "deep.png", "lime")
    assert opened.alpha is not None
    assert np.asarray(opened.alpha)[:, 0].tolist() == [255] * 4 + [0] * 4
    assert opened.picture.getpixel((0, 0)) == (3, 3, 3)
    assert opened.picture.getpixel((0, 7)) == (0, 255, 0)


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
    assert [p.name for p in picture_files.find([tmp_path])] == ["a.JPG", "b.png", "c.webp"]
    assert picture_files.find([tmp_path / "b.png"]) == [tmp_path / "b.png"]


def test_transparent_parts_get_the_background_colour(tmp_path: Path) -> None:
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


def test_errors_name_the_bad_picture(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="nowhere does not exist"):
        picture_files.find([tmp_path / "nowhere"])
    with pytest.raises(PictureError, match=r"^x{140,160} … x{140,160} does not exist"):
        picture_files.find([Path("x" * 5000)])
    with pytest.raises(PictureError, match="does not exist"):
        picture_files.find([Path("a\0b")])
    with pytest.raises(PictureError, match=r"cat\.jpg does not exist. It is an address: download"):
        picture_files.find([Path("https://example.com/cat.jpg")])
    with pytest.raises(PictureError, match="holds no pictures"):
        picture_files.find([tmp_path])
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(PictureError, match=r"text\.jpg is plain text"):
        images.open_picture(tmp_path / "text.jpg")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    with pytest.raises(PictureError, match=r"cut\.jpg is damaged"):
        images.open_picture(tmp_path / "cut.jpg")
    (tmp_path / "empty.png").touch()
    with pytest.raises(PictureError, match=r"empty\.png"):
        images.open_picture(tmp_path / "empty.png")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def test_no_format_that_starts_another_program_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow would pass PostScript to Ghostscript."""
    (tmp_path / "a.png").write_bytes(POSTSCRIPT)
    calls: list[object] = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **_k: calls.append(a))
    with pytest.raises(PictureError, match=r"a\.png is a PostScript document"):
        images.open_picture(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.tga")
    with pytest.raises(
        PictureError, match=r"a\.tga is not a picture of a known format \(PNG, JPEG"
    ):
        images.open_picture(tmp_path / "a.tga")
    assert not calls


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"PK\3\4", r"is a zip archive\. Unpack it"),
        (b"\0\0\0\x18ftypmp42", r"is a video\. Save some of its frames"),
        (b"\x1a\x45\xdf\xa3", "is a video"),
        (b"\0\0\0\x18ftypqt  ", "is a video"),
        (b"\0\0\0\x1cftypheic", "is a damaged picture"),
        (b"\0\0\0\x20ftypavif", "is a damaged picture"),
        (b"\x89PNG\r\n\x1a\n", "is a damaged picture"),
        (b"GIF89a", "is a damaged picture"),
        (b"\0\0\0\x18ftypcrx ", "is not a picture of a known format"),
    ],
)
def test_what_may_hold_pictures_is_named(tmp_path: Path, head: bytes, said: str) -> None:
    (tmp_path / "a.png").write_bytes(head + bytes(99))
    with pytest.raises(PictureError, match=rf"a\.png {said}"):
        images.open_picture(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (bytes(5000), "is nothing but zero bytes, an unfinished download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS"),
        (b"../.git/annex/objects/xX/SHA256E-s9--0.jpg", "is a git-annex pointer"),
        (b"<!doctype html><html><svg/></html>", "is a web page instead of the file"),
        (b'{"error": "Repository not found"}', "is a server's message, .*Repository not found"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"></svg>', r"is an SVG drawing, .*Save it as PNG\."),
        (b"%PDF-1.7", "is a PDF document, not the picture"),
    ],
)
def test_what_stands_in_the_place_of_a_picture_is_named(
    tmp_path: Path, data: bytes, said: str
) -> None:
    """Folders of pictures are cloned without Git LFS, or downloaded without logging in."""
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(PictureError, match=rf"a\.jpg {said}"):
        images.open_picture(tmp_path / "a.jpg")


def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    for path, message in {"a.png": "a pipe", "b.png": "a folder", "/dev/zero": "a device"}.items():
        with pytest.raises(PictureError, match=f"cannot be read: it is {message}"):
            images.open_picture(tmp_path / path)


def test_a_file_with_several_frames_is_recognised(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("lime", "red")]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert images.decode(
            (tmp_path / name).read_bytes(), tmp_path / name, "white"
        ).has_more_frames
        frames[0].save(tmp_path / name)
        assert not images.decode(
            (tmp_path / name).read_bytes(), tmp_path / name, "white"
        ).has_more_frames
    frames[0].save(tmp_path / "a.mpo", save_all=True, append_images=frames[1:])
    assert not images.decode(
        (tmp_path / "a.mpo").read_bytes(), tmp_path / "a.mpo", "w"
    ).has_more_frames


def test_jpeg_xl_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + bytes(40))
    with pytest.raises(PictureError, match="is a JPEG XL picture, which cannot be read"):
        images.open_picture(tmp_path / "a.jxl")


def striped(mode: str, size: tuple[int, int]) -> Image.Image:
    """Bright above, dark below; with alpha, the right half is transparent."""
    width, height = size
    made = Image.new("L", size, 200)
    made.paste(40, (0, height // 2, width, height))
    if "A" in mode:
        clear = Image.new("L", size, 255)
        clear.paste(0, (width // 2, 0, width, height))
        made = made.convert(mode)
        made.putalpha(clear)
    return made.convert(mode)


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK"])
def test_a_large_picture_is_reduced_while_it_is_read(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reduced in strips; the result equals the whole picture reduced at once."""
    monkeypatch.setattr(images, "LARGE_PX", 1000)
    monkeypatch.setattr(images, "STRIP_PX", 700)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    striped(mode, (150, 101)).save(path)
    data = images.read(path)
    whole = images.decode(data, path, "blue")
    opened = images.decode(data, path, "blue", needed_px=25)
    assert (whole.reduced, opened.reduced) == (1, 2)
    assert whole.size == opened.size == whole.picture.size == (150, 101)
    assert opened.picture.size == (75, 51)
    expected = np.asarray(whole.picture.reduce(2), dtype=int)
    assert np.abs(np.asarray(opened.picture, dtype=int) - expected).max() <= 1
    assert (opened.alpha is not None) == ("A" in mode)
    if opened.alpha is not None and whole.alpha is not None:
        assert opened.alpha.tobytes() == whole.alpha.reduce(2).tobytes()


def test_a_large_jpeg_is_decoded_reduced_and_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LARGE_PX", 1000)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    striped("RGB", (400, 240)).save(path, exif=exif, quality=95)
    opened = images.decode(images.read(path), path, "white", needed_px=20)
    assert opened.size == (240, 400)
    assert opened.picture.size == (60, 100)
    assert opened.reduced == 4
    right, left = (opened.picture.getpixel((x, 50)) for x in (50, 10))
    assert isinstance(right, tuple)
    assert isinstance(left, tuple)
    assert right[0] > 180
    assert left[0] < 60


def test_deep_pictures_keep_their_brightness_in_every_strip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "STRIP_PX", 100)
    values = np.linspace(0, 7, 40 * 30, dtype=np.float32).reshape(40, 30)
    Image.fromarray((values * 9000).astype(np.uint16)).save(tmp_path / "i.png")
    values[3, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "f.tif")
    for name, last in (("f.tif", 255), ("i.png", 245)):
        pixels = np.asarray(images.open_picture(tmp_path / name))
        assert pixels[-1, -1].tolist() == [last] * 3
        assert np.diff(pixels[4:, :, 0].ravel().astype(int)).min() >= 0


@pytest.mark.parametrize("white", [255, 65535, 2**31 - 1])
def test_whole_numbers_of_32_bits_may_be_of_fewer(tmp_path: Path, white: int) -> None:
    values = np.linspace(0, white, 8 * 8).astype(np.int32).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "a.tif")
    pixels = np.asarray(images.open_picture(tmp_path / "a.tif"))[..., 0].ravel()
    assert np.abs(pixels - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize(
    ("size", "kind"), [((10700, 10700), "PNG"), ((5200, 5200), "WEBP"), ((7000, 7000), "AVIF")]
)
def test_a_picture_that_needs_too_much_memory_is_refused_before_decoding(
    tmp_path: Path, size: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Claim(Image.Image):
        format = kind
        size = property(lambda _self: claimed)

        def load(self) -> None:
            raise AssertionError

    claimed = size
    monkeypatch.setattr(Image, "open", lambda *_a, **_k: Claim())
    with pytest.raises(
        PictureError, match=rf"too large .* {size[0]} x {size[1]} pixels .* smaller"
    ):
        images.decode(b"", tmp_path / "a.png", "white", 512)


def test_a_jpeg_with_several_scans_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture = striped("RGB", (64, 48))
    picture.save(path)
    assert not decoding_memory.has_several_scans(path.read_bytes(), 64 * 48)
    picture.save(path, progressive=True)
    data = path.read_bytes()
    assert decoding_memory.has_several_scans(data, 64 * 48)
    with pytest.raises(PictureError, match="more scans than any program writes"):
        images.decode(data + b"\xff\xda" * 400_000, path, "white")
