"""Hundreds of malformed or odd pictures and captions: each is used, or an error names the file."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pseudoword
from pseudoword.config.pictures import PictureSettings
from pseudoword.data import examples, masks, picture_files
from pseudoword.errors import PictureError
from pseudoword.progress import Silent

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "ICO", "PPM")
CROPS = ("centre", "random", "focal", "buckets")


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(source: random.Random, mode: str = "RGB") -> Image.Image:
    size = source.choice([(40, 40), (57, 33), (20, 64), (129, 17)])
    values = np.random.default_rng(source.randrange(2**32)).integers(0, 255, (*size, 4))
    return Image.fromarray(values.astype(np.uint8), "RGBA").convert(mode)


def cut(source: random.Random) -> bytes:
    data = saved(noise(source), source.choice(FORMATS))
    return data[: source.randrange(len(data))]


def flipped_bytes(source: random.Random) -> bytes:
    data = bytearray(saved(noise(source), source.choice(FORMATS)))
    for _ in range(source.randrange(1, 30)):
        data[source.randrange(len(data))] = source.randrange(256)
    return bytes(data)


def damaged_header(source: random.Random) -> bytes:
    data = bytearray(saved(noise(source), source.choice(FORMATS)))
    for _ in range(source.randrange(1, 5)):
        data[source.randrange(min(80, len(data)))] = source.randrange(256)
    return bytes(data)


def joined(source: random.Random) -> bytes:
    """The head of one format and the tail of another."""
    one, other = (saved(noise(source), source.choice(FORMATS)) for _ in range(2))
    return one[: len(one) // 2] + other[len(other) // 2 :]


def no_picture(source: random.Random) -> bytes:
    heads = [b"", bytes(500), b"<html></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a"]
    heads += [b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"II*\0\xff\xff\xff\xff", b"%PDF-1.4", b"BM"]
    heads += [b"\0\0\0\x18ftypavif", b"\0\0\0\x18ftypheic", source.randbytes(2000)]
    return source.choice(heads) + bytes(source.choice([0, 40]))


def huge(source: random.Random) -> bytes:
    """A header that promises far more pixels than any memory has."""
    data = bytearray(saved(noise(source), "PNG"))
    side = source.choice([100_000, 2**31 - 1, 30_000])
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def odd_mode(source: random.Random) -> bytes:
    modes = {
        "PNG": "1 L LA P RGBA I;16",
        "TIFF": "1 CMYK LAB YCbCr RGBX F I LA RGBA P",
        "JPEG": "CMYK L",
        "GIF": "P",
        "WEBP": "RGBA",
        "AVIF": "RGBA",
    }
    kind = source.choice(["TIFF", "TIFF", *modes])
    mode = source.choice(modes[kind].split())
    if mode == "F":
        values = np.full((30, 40), source.choice([0, -5, 1e30, np.nan, np.inf]), np.float32)
        return saved(Image.fromarray(values), kind)
    if mode.startswith("I"):
        deep = np.random.default_rng(0).integers(0, 65535, (30, 40))
        return saved(Image.fromarray(deep.astype(np.uint16 if ";" in mode else np.int32)), kind)
    if mode == "LAB":
        return saved(Image.merge("LAB", noise(source).split()), kind)
    return saved(noise(source, mode), kind)


def odd_size(source: random.Random) -> bytes:
    size = source.choice([(1, 1), (1, 40), (40, 1), (2, 3), (1, 3000), (3000, 1), (5, 900)])
    return saved(Image.new("RGB", size, "red"), source.choice(["PNG", "JPEG", "WEBP"]))


def broken_exif(source: random.Random) -> bytes:
    head = source.choice([b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0", b"Exif\0\0MM\0*\0\0\0\x08", b""])
    return saved(noise(source), source.choice(["JPEG", "WEBP"]), exif=head + source.randbytes(60))


def animated(source: random.Random) -> bytes:
    frames = [noise(source).resize((30, 20)) for _ in range(3)]
    kind = source.choice(["GIF", "WEBP", "PNG"])
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    return data[: source.choice([len(data), len(data) // 2])]


def whole(source: random.Random) -> bytes:
    return saved(noise(source), source.choice(FORMATS))


PICTURES: list[Callable[[random.Random], bytes]] = [
    *(cut, flipped_bytes, damaged_header, joined, no_picture, huge),
    *(odd_mode, odd_mode, odd_size, broken_exif, animated, whole),
]

SIDECARS = [
    *(None, None, None, b"", b"\n\n", b"a cat", "\ufeffgröße".encode(), "größe".encode("utf-16")),
    *("größe".encode("latin-1"), b"\xff\xfe\0", b"\0\0\0", b"a, b,, ,c,", b"[name] [filewords]"),
    *(b"word " * 20_000, "\ue0000\ue001 \u202e 🐈".encode(), b"\x1b[31m", bytes(range(256))),
]


def write_case(folder: Path, number: int) -> Path:
    """The odd picture of this number; its suffix may be wrong."""
    source = random.Random(number)
    ending = source.choice([".png", ".jpg", ".webp", ".gif", ".tif", ".avif", ".heic", ".bmp"])
    path = folder / f"case-{number}{ending}"
    path.write_bytes(PICTURES[number % len(PICTURES)](source))
    sidecar = source.choice(SIDECARS)
    if sidecar is not None:
        path.with_suffix(".txt").write_bytes(sidecar)
    return path


@pytest.mark.parametrize("first", range(0, 360, 60))
def test_each_odd_picture_is_used_or_named(tmp_path: Path, first: int) -> None:
    usable, refused = 0, []
    for number in range(first, first + 60):
        path = write_case(tmp_path, number)
        crop = CROPS[number % len(CROPS)]
        picture_settings = PictureSettings.check(
            pictures=[path], crop=crop, crops=2, flip=number % 2 == 0, mask="alpha"
        )
        try:
            example = examples.read_one(
                path, picture_settings, examples.crop_sizes(picture_settings, 32, 8)
            )
        except PictureError as error:
            refused.append((path.stem, str(error)))
            continue
        usable += 1
        assert "\n" not in example.filewords
        for view in example.views:
            _, height, width = view.pixels.shape
            assert (width, height) == view.crop.size, number
            assert view.pixels.isfinite().all(), number
            assert view.pixels.abs().max() <= 1, number
            weight = masks.weight(view.mask, height // 8, width // 8, 0.0)
            assert weight.mean() == pytest.approx(1), number
    assert all(name in said and len(said) < 1000 for name, said in refused)
    assert 15 < usable < 50  # neither all nor none: both ways are tested


def test_a_run_uses_what_it_can_and_reports_the_rest(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for number in range(36):
        write_case(folder, number)
    (folder / "folder.png").mkdir()
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")

    class Notes(Silent):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def note(self, text: str) -> None:
            self.lines.append(text)

    notes = Notes()
    done = pseudoword.train(
        folder,
        "<x>",
        base=str(base),
        steps=3,
        skip_bad=True,
        held_out=0,
        out=tmp_path / "run",
        preview=(),
        progress=notes,
    )
    skipped = [line for line in notes.lines if line.startswith("skipped: ")]
    used = int(done.concept.provenance["pictures"])
    assert used + len(skipped) == len(picture_files.find([folder]))
    assert used >= 8
    assert any("gone.png" in line for line in skipped)
    assert any(line.endswith("not searched: folder.png") for line in notes.lines)
