"""Pictures are read in the colours that their ICC profiles mean."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from pseudoword.config.pictures import PictureSettings
from pseudoword.data import examples, images

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def red_is_green() -> bytes:
    """A profile in which the first channel is green, and the second one red."""
    count = int.from_bytes(SRGB[128:132])
    tags = {SRGB[at : at + 4]: at for at in range(132, 132 + 12 * count, 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    swapped = bytearray(SRGB)
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(swapped)


def colour(path: Path) -> tuple[int, ...]:
    found = images.open_picture(path).getpixel((3, 3))
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "avif", "heic"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_those_that_the_profile_means(tmp_path: Path, ending: str, mode: str) -> None:
    if ending == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    picture = Image.new(mode, (64, 64), (250, 20, 10, 255)[: len(mode)])
    picture.save(tmp_path / f"a.{ending}", icc_profile=red_is_green(), quality=95)
    assert np.abs(np.subtract(colour(tmp_path / f"a.{ending}"), [20, 250, 10])).max() < 12


def test_colours_are_changed_once_where_a_picture_is_written_again(tmp_path: Path) -> None:
    """As the page does, which crops pictures."""
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8), (250, 20, 10)).save(path, icc_profile=red_is_green())
    images.open_picture(path).save(path)
    assert np.abs(np.subtract(colour(path), [20, 250, 10])).max() < 12


def test_srgb_stays_as_it_is_to_the_byte(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", icc_profile=SRGB)
    assert np.array_equal(np.asarray(images.open_picture(tmp_path / "a.png")), noise)


@pytest.mark.parametrize("profile", [b"no profile", SRGB[:200], SRGB[:-40] + b"?" * 40])
def test_a_damaged_profile_changes_nothing(tmp_path: Path, profile: bytes) -> None:
    Image.new("RGB", (8, 8), (250, 20, 10)).save(tmp_path / "a.png", icc_profile=profile)
    assert colour(tmp_path / "a.png") == (250, 20, 10)


def test_latents_of_other_colours_are_not_taken_from_the_cache(tmp_path: Path) -> None:
    for name, profile in (("a", SRGB), ("b", red_is_green())):
        Image.new("RGB", (8, 8), "red").save(tmp_path / f"{name}.png", icc_profile=profile)
    settings = PictureSettings(pictures=(tmp_path,))
    sizes = examples.crop_sizes(settings, 8, 8)
    plain, other = examples.read([tmp_path / "a.png", tmp_path / "b.png"], settings, sizes)
    assert "sRGB" not in plain.views[0].transform
    assert "sRGB" in other.views[0].transform
