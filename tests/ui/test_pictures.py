"""Data sets: what is uploaded, cut, masked and captioned, and what training then reads."""

import io
from pathlib import Path

import pytest
from PIL import Image

from pseudoword.errors import PictureError, SettingsError, StorageError
from pseudoword.ui.jobs import Queue
from pseudoword.ui.pictures import DataSets
from pseudoword.ui.workspace import UnknownIdError, Workspace, WorkspaceLimits


def png(size: tuple[int, int] = (40, 20), colour: str | tuple[int, ...] = "red") -> bytes:
    buffer = io.BytesIO()
    mode = "RGBA" if isinstance(colour, tuple) and len(colour) == 4 else "RGB"
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def sets(workspace: Workspace) -> DataSets:
    return DataSets(workspace)


@pytest.fixture
def one(sets: DataSets) -> tuple[str, str]:
    """A data set and its picture, 40 x 20 pixels."""
    name = sets.new()
    return name, sets.add(name, png(), "../<b>red</b>.png").id


def test_a_name_is_shown_and_names_no_file(sets: DataSets, one: tuple[str, str]) -> None:
    name, key = one
    assert sets.one(name, key).name == "b>.png"
    assert [path.name for path in sets.files(name).iterdir()] == [f"{key}.png"]


def test_pictures_of_one_name_are_told_apart(sets: DataSets) -> None:
    """As on a phone, which calls all of them image.jpg."""
    name = sets.new()
    for file in ("image.png", "cat.png", "image.png"):
        sets.add(name, png(), file)
    assert [one.called for one in sets.pictures(name)] == ["image.png", "cat.png", "image.png (2)"]
    assert sets.one(name, "0003").called == "image.png (2)"
    assert sets.one(name, "0003").name == "image.png"


def test_a_data_set_is_not_made_over_another_one(sets: DataSets, one: tuple[str, str]) -> None:
    name, key = one
    with pytest.raises(StorageError):
        sets.new(name)
    assert [found.id for found in sets.pictures(name)] == [key]


def test_what_is_no_picture_is_told_by_its_own_name(sets: DataSets) -> None:
    name = sets.new()
    with pytest.raises(PictureError, match=r"^notes.png is plain text"):
        sets.add(name, b"no picture", "notes.png")
    assert not sets.pictures(name)


def test_there_are_bounds(tmp_path: Path) -> None:
    limits = WorkspaceLimits(most_pictures=1, largest_upload_mb=1, most_data_sets=2)
    sets = DataSets(Workspace(tmp_path / "workspace", limits))
    name = sets.new()
    sets.add(name, png(), "one.png")
    with pytest.raises(SettingsError, match="at most 1 pictures"):
        sets.add(name, png(), "two.png")
    (tmp_path / "large.png").write_bytes(bytes(1_100_000))
    with pytest.raises(PictureError, match="at most 1 MB"):
        sets.add(name, tmp_path / "large.png", "large.png")


def test_a_picture_is_cut_and_its_mask_with_it(sets: DataSets, one: tuple[str, str]) -> None:
    name, key = one
    sets.set_mask(name, key, Image.new("L", (20, 10), 255))
    sets.set_crop(name, key, (10, 0, 30, 20))
    files = {path.name: Image.open(path).size for path in sets.files(name).iterdir()}
    assert files == {f"{key}.png": (20, 20), f"{key}-mask.png": (20, 20)}
    mask = sets.mask(name, key)
    assert mask is not None
    assert (mask.size, sets.open(name, key).size) == ((40, 20), (40, 20))
    sets.set_crop(name, key, None)
    sets.set_mask(name, key, None)
    assert [path.name for path in sets.files(name).iterdir()] == [f"{key}.png"]


def test_what_is_transparent_stays_so_in_a_crop(sets: DataSets) -> None:
    name = sets.new()
    key = sets.add(name, png(colour=(255, 0, 0, 0)), "clear.png").id
    sets.set_crop(name, key, (0, 0, 10, 10))
    cut = Image.open(sets.files(name) / f"{key}.png")
    assert cut.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 0)


@pytest.mark.parametrize("crop", [(0, 0, 0, 0), (50, 0, 90, 20), (30, 0, 10, 20), (0, 0, 7, 20)])
def test_an_empty_crop_is_refused(
    sets: DataSets, one: tuple[str, str], crop: tuple[int, int, int, int]
) -> None:
    with pytest.raises(SettingsError, match="the crop"):
        sets.set_crop(*one, crop)
    assert sets.one(*one).crop is None


def test_a_mask_of_another_shape_is_refused(sets: DataSets, one: tuple[str, str]) -> None:
    with pytest.raises(PictureError, match="needs the shape"):
        sets.set_mask(*one, Image.new("L", (20, 20)))
    assert not sets.one(*one).masked


def test_captions_stand_beside_their_pictures(sets: DataSets, one: tuple[str, str]) -> None:
    name, key = one
    sets.set_caption(name, key, "on <script> grass, 猫")
    assert sets.one(name, key).caption == "on <script> grass, 猫"
    assert (sets.files(name) / f"{key}.txt").read_text(encoding="utf-8") == "on <script> grass, 猫"
    sets.set_crop(name, key, (0, 0, 20, 20))
    assert sets.one(name, key).caption
    sets.set_caption(name, key, " ")
    assert not sets.one(name, key).caption
    with pytest.raises(SettingsError, match="characters"):
        sets.set_caption(name, key, "x" * 20_000)


def test_a_removed_picture_leaves_nothing(sets: DataSets, one: tuple[str, str]) -> None:
    name, key = one
    sets.set_caption(name, key, "red")
    sets.set_mask(name, key, Image.new("L", (40, 20), 255))
    sets.remove(name, key)
    assert not list(sets.files(name).iterdir())
    assert not sets.pictures(name)
    with pytest.raises(UnknownIdError):
        sets.open(name, key)


@pytest.mark.parametrize("key", ["../0001", "0002", "", "*", "/etc/passwd"])
def test_only_pictures_of_the_data_set_are_opened(
    sets: DataSets, one: tuple[str, str], key: str
) -> None:
    name, _ = one
    for use in (sets.open, sets.mask, sets.remove, lambda a, b: sets.set_caption(a, b, "x")):
        with pytest.raises(UnknownIdError):
            use(name, key)


def test_a_data_set_is_shown_as_training_will_see_it(queue: Queue, data_set: str) -> None:
    seen = queue.data_sets.look(data_set, base="tiny", crop="centre")
    assert [one.frame for one in seen.pictures] == [(32, 32)] * 4
    assert queue.data_sets.look(data_set, base="tiny").pictures  # again, over the sheet before


def test_the_data_sets_that_nobody_touches_go_first(tmp_path: Path) -> None:
    sets = DataSets(Workspace(tmp_path / "workspace", WorkspaceLimits(most_data_sets=2)))
    names = [sets.new() for _ in range(3)]
    assert sets.workspace.ids("pictures") == names[1:]
