"""Crops: what is in them, and where they are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from support import SHARED

from pseudoword.data import crops, images, saliency

sides = st.integers(1, 4000)
frames = st.sampled_from([(64, 64), (96, 48), (48, 96)])


def whole(picture: crops.Size) -> torch.Tensor:
    return torch.ones(8, 8)


@given(sides, sides, frames)
def test_a_crop_lies_within_the_picture_and_keeps_its_aspect_ratio(
    width: int, height: int, frame: crops.Size
) -> None:
    picture = (width, height)
    results = [
        crops.centre(picture, frame),
        crops.focal(picture, frame, whole(picture)),
        *crops.random_crops(picture, frame, 3, ("key",)),
    ]
    for crop in results:
        left, top, right, bottom = crop.box
        slack = 1 / crop.scale  # rounding, less than a pixel of the scaled picture
        assert left >= 0
        assert top >= 0
        assert right <= width + slack
        assert bottom <= height + slack
        assert (right - left) / (bottom - top) == pytest.approx(frame[0] / frame[1])
        filled = min(width * crop.scale - frame[0], height * crop.scale - frame[1])
        assert filled == pytest.approx(0, abs=1e-6)


def test_a_circle_stays_a_circle() -> None:
    for size in ((90, 30), (30, 90)):
        y, x = np.mgrid[: size[1], : size[0]]
        disc = (x - size[0] / 2 + 0.5) ** 2 + (y - size[1] / 2 + 0.5) ** 2 < 10**2
        picture = Image.fromarray((disc * 255).astype(np.uint8))
        bright = np.asarray(crops.centre(size, (60, 60)).cut(picture)) > 127
        assert abs(int(bright.any(0).sum()) - 40) <= 2
        assert abs(int(bright.any(1).sum()) - 40) <= 2


def test_random_crops_differ_along_the_longer_side_and_depend_on_the_key() -> None:
    results = crops.random_crops((200, 50), (50, 50), 6, ("a",))
    assert len({crop.offset for crop in results}) == 6
    assert all(crop.offset[1] == 0 for crop in results)
    assert results == crops.random_crops((200, 50), (50, 50), 6, ("a",))
    assert results != crops.random_crops((200, 50), (50, 50), 6, ("b",))
    assert len(crops.random_crops((50, 50), (50, 50), 6, ("a",))) == 1


def test_a_flipped_crop_is_the_mirror_of_the_same_place() -> None:
    picture = Image.effect_noise((120, 40), 90).convert("RGB")
    (crop,) = crops.random_crops(picture.size, (40, 40), 1, ("x",))
    flipped = crops.Crop(crop.size, crop.scale, crop.offset, flipped=True)
    straight = np.asarray(crop.cut(picture))
    assert np.array_equal(np.asarray(flipped.cut(picture)), straight[:, ::-1])
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    top, left = flipped.corner(picture.size)
    assert (top, left) == (0, 120 - 40 - crop.offset[0])
    there = mirrored.crop((left, top, left + 40, top + 40))  # SDXL's micro-conditioning
    assert np.array_equal(np.asarray(there), np.asarray(flipped.cut(picture)))


@pytest.mark.parametrize("place", [(20, 20), (150, 20), (270, 20)])
def test_the_focal_crop_finds_the_subject(place: tuple[int, int]) -> None:
    picture = Image.new("RGB", (300, 60), "gray")
    x, y = place
    ImageDraw.Draw(picture).ellipse((x - 12, y - 12, x + 12, y + 12), fill="orange")
    left, _, right, _ = crops.focal(picture.size, (60, 60), saliency.saliency(picture)).box
    assert left <= x - 12
    assert x + 12 <= right
    middle = min(max(x, 30), 270)
    assert (left + right) / 2 == pytest.approx(middle, abs=8)


def test_the_focal_crop_of_a_plain_picture_is_its_centre() -> None:
    flat = Image.new("RGB", (300, 60), "gray")
    assert crops.focal(flat.size, (60, 60), saliency.saliency(flat)).offset[0] == 120


@pytest.mark.skipif(not SHARED.exists(), reason="no sample photographs here")
def test_the_focal_crop_of_a_photograph_off_centre_keeps_the_dog() -> None:
    """The dog is kept, at either end of a long lawn-coloured picture."""
    dog = images.open_picture(SHARED / "photos" / "dog" / "02.jpg")
    dog.thumbnail((200, 200))
    for left in (0, 400):
        picture = Image.new("RGB", (600, 200), (120, 130, 90))
        picture.paste(dog, (left, 0))
        at, _, right, _ = crops.focal(picture.size, (200, 200), saliency.saliency(picture)).box
        assert abs((at + right) / 2 - (left + dog.width / 2)) < 40


@pytest.mark.parametrize(("resolution", "step"), [(512, 64), (1024, 64), (32, 8), (64, 8), (8, 8)])
def test_buckets_have_many_shapes_and_about_the_same_area(resolution: int, step: int) -> None:
    results = crops.bucket_sizes(resolution, step)
    assert (resolution, resolution) in results
    assert {(h, w) for w, h in results} == set(results)
    for width, height in results:
        assert width % step == height % step == 0
        assert resolution**2 / 2 <= width * height <= resolution**2
    if resolution >= 512:
        assert (resolution * 3 // 4, resolution * 5 // 4) in results
        assert len(results) > 8


@given(st.integers(300, 4000), st.integers(300, 4000))
def test_a_bucket_keeps_nearly_all_of_the_picture(width: int, height: int) -> None:
    if not 1 / 3.5 < width / height < 3.5:
        return
    frame = crops.nearest_size((width, height), crops.bucket_sizes(512, 64))
    left, top, right, bottom = crops.centre((width, height), frame).box
    assert (right - left) * (bottom - top) > 0.8 * width * height


def test_a_square_picture_gets_the_square_bucket() -> None:
    assert crops.nearest_size((777, 780), crops.bucket_sizes(512, 64)) == (512, 512)
