"""Which files are pictures, masks and captions, by their names; and that the rest is named."""

import errno
import os
from pathlib import Path

import pytest

from pseudoword.data import picture_files
from pseudoword.errors import PictureError
from pseudoword.outputs import check_not_input


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(*paths: Path) -> tuple[list[str], str]:
    """The names of the pictures, and all notes."""
    notes: list[str] = []
    return [p.name for p in picture_files.find(paths, notes.append)], "\n".join(notes)


def test_every_usual_ending_of_a_picture_is_known(tmp_path: Path) -> None:
    names = ["a.JFIF", "b.jpe", "c.pnm", "d.pgm", "e.apng", "f.hif", "g.jpg", "h.TIFF"]
    assert found(made(tmp_path, *names)) == (names, "")


def test_files_that_are_not_used_are_named(tmp_path: Path) -> None:
    made(tmp_path, "a.png", "a.txt", "a.json", "b.txt", "c.psd", "A.TXT", ".hidden", "Thumbs.db")
    made(tmp_path / "old", "x.png")
    made(tmp_path / ".cache", "x.png")
    names, notes = found(tmp_path)
    assert names == ["a.png"]
    assert "not used as pictures: A.TXT, a.json, c.psd\n" in notes
    assert "captions without a picture: b.txt\n" in notes
    assert notes.endswith("folders in it are not searched: old")


def test_a_hidden_picture_is_named(tmp_path: Path) -> None:
    made(tmp_path, "a.png", ".b.png", "._a.png", ".DS_Store")
    names, notes = found(tmp_path)
    assert names == ["a.png"]
    assert notes.endswith(f"{tmp_path}: hidden by the dot before their names: .b.png")


def test_a_folder_whose_files_nobody_may_look_at_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a folder with permission to list it, but not to enter it."""
    folder, is_dir = made(tmp_path / "photos", "a.png"), Path.is_dir

    def looked_at(path: Path) -> bool:
        if path.parent == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", looked_at)
    with pytest.raises(PictureError, match="photos cannot be read: Permission denied"):
        picture_files.find([folder])
    check_not_input(tmp_path, [folder])


def test_many_files_are_not_all_listed(tmp_path: Path) -> None:
    made(tmp_path, "a.png", *(f"{i}.npz" for i in range(40)))
    assert "0.npz, 1.npz, 10.npz, 11.npz, 12.npz and 35 more" in found(tmp_path)[1]


def test_a_folder_of_kohya_s_folders_stands_for_the_pictures_in_them(tmp_path: Path) -> None:
    made(tmp_path, "10_my cat/a.png", "10_my cat/a.caption", "3_it/b.png", "log/c.png")
    names, notes = found(tmp_path)
    assert names == ["a.png", "b.png"]
    assert "using the pictures in 10_my cat, 3_it\n" in notes
    assert "not searched: log" in notes
    names, notes = found(made(tmp_path, "own.png"))
    assert names == ["own.png"]
    assert "not searched: 10_my cat, 3_it, log" in notes


def test_repeats_are_those_of_folders_that_are_found(tmp_path: Path) -> None:
    made(tmp_path, "10_a/a.png", "3_b/b.png", "0_c/c.png", "2024_d/d.png", "_e/e.png")
    pictures = picture_files.find([tmp_path])
    assert [p.name for p in pictures] == ["a.png", "b.png"]
    assert picture_files.repeats([tmp_path], pictures) == [10, 3]
    assert picture_files.repeats([tmp_path / "10_a", tmp_path], pictures) == [1, 3]
    assert picture_files.repeats(pictures, pictures) == [1, 1]
    notes: list[str] = []
    picture_files.note_repeats([tmp_path], pictures, notes.append)
    assert [note.partition("folders say: ")[2] for note in notes] == ["3, 10"]
    (tmp_path / "3_b").rename(tmp_path / "010_b")
    picture_files.note_repeats([tmp_path], picture_files.find([tmp_path]), notes.append)
    assert len(notes) == 1


def test_a_folder_of_other_folders_names_them(tmp_path: Path) -> None:
    made(tmp_path, "cats/a.png")
    with pytest.raises(PictureError, match=r"holds no pictures.*not searched: cats\. Give those"):
        found(tmp_path)


def test_a_picture_that_is_given_twice_is_used_once(tmp_path: Path) -> None:
    made(tmp_path, "a.png", "b.png")
    names, notes = found(tmp_path, tmp_path / "a.png")
    assert names == ["a.png", "b.png"]
    assert notes == f"given more than once, and used once: {tmp_path / 'a.png'}"


MASKS = ["a-mask.png", "a_mask.png", "a.mask.webp", "a-masklabel.png", "a-MASK.PNG"]
MASKS += ["masks/a.png", "masks/a-mask.png", "mask/a.jpg", "Masks/a.png"]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("settings", ["folder", "glob", "relative"])
def test_masks_are_recognised_by_every_name_in_folders_and_as_files(
    tmp_path: Path, mask: str, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, "a.jpg", "a.txt", "b.png", mask)
    monkeypatch.chdir(tmp_path)
    given = {
        "folder": [tmp_path],
        "glob": sorted(tmp_path.iterdir()),
        "relative": sorted(Path().iterdir()),
    }[settings]
    assert found(*given) == (["a.jpg", "b.png"], "")
    pictures = picture_files.find(given)
    assert picture_files.mask_files(pictures) == {pictures[0]: [pictures[0].parent / mask]}


def test_of_several_masks_the_one_beside_the_picture_comes_first(tmp_path: Path) -> None:
    made(tmp_path, "a.png", "masks/a.png", "a-mask.png")
    (files,) = picture_files.mask_files([tmp_path / "a.png"]).values()
    assert [str(p.relative_to(tmp_path)) for p in files] == ["a-mask.png", f"masks{os.sep}a.png"]


def test_pictures_of_one_name_share_their_mask(tmp_path: Path) -> None:
    made(tmp_path, "a.png", "a.jpg", "a-mask.png")
    assert set(picture_files.mask_files([tmp_path / "a.png", tmp_path / "a.jpg"])) == {
        tmp_path / "a.png",
        tmp_path / "a.jpg",
    }


def test_a_mask_without_a_picture_is_used_as_a_picture_and_reported(tmp_path: Path) -> None:
    names, notes = found(made(tmp_path, "a.png", "dog-mask.png"))
    assert names == ["a.png", "dog-mask.png"]
    assert "used as pictures, because no picture has them as its mask: dog-mask.png" in notes


def test_files_that_always_belong_to_a_picture_are_never_used_as_pictures(tmp_path: Path) -> None:
    names, notes = found(made(tmp_path, "a.png", "a-condlabel.png", "gone-masklabel.png"))
    assert names == ["a.png"]
    assert notes.endswith("not used as pictures: gone-masklabel.png")


def test_pictures_of_another_subject_in_a_file_name_are_no_masks(tmp_path: Path) -> None:
    names = ["a.png", "amask.png", "mask.png", "my-masked-cat.png"]
    assert found(made(tmp_path, *names)) == (names, "")


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "$RECYCLE.BIN"])
def test_folders_that_no_person_made_are_not_mentioned(tmp_path: Path, name: str) -> None:
    made(tmp_path, "a.png", f"{name}/a.png", "others/b.png")
    names, notes = found(tmp_path)
    assert names == ["a.png"]
    assert notes == f"{tmp_path}: folders in it are not searched: others"


def test_pictures_have_one_order_on_all_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows compares paths without case."""
    made(tmp_path, "b.png", "A.png", "a.png", "B-mask.png", "B.png")
    before = picture_files.find([tmp_path])
    assert [path.name for path in before] == ["A.png", "B.png", "a.png", "b.png"]
    monkeypatch.setattr(Path, "__lt__", lambda one, other: str(one).lower() < str(other).lower())
    assert picture_files.find([tmp_path]) == before
