"""What is odd about pictures is told in few lines, however many pictures there are."""

from pathlib import Path

from PIL import Image

from pseudoword.config.pictures import PictureSettings
from pseudoword.data import examples, image_quality


def notes_of(*paths: Path) -> list[str]:
    """What is told of the pictures."""
    settings = PictureSettings.check(pictures=[*paths])
    read = examples.read(paths, settings, examples.crop_sizes(settings, 64, 8))
    notes: list[str] = []
    list(image_quality.note_problems(read, notes.append))
    return notes


def test_of_hundreds_of_copies_the_first_few_are_named(tmp_path: Path) -> None:
    one = Image.effect_noise((64, 64), 90)
    paths = [tmp_path / f"{i:03}.png" for i in range(image_quality.MOST_NAMED + 4)]
    for path in paths:
        one.save(path)
    *named, more = notes_of(*paths)
    assert len(named) == image_quality.MOST_NAMED
    assert named[0] == "001.png looks like a copy of 000.png"
    assert more == "3 more pictures with a problem; `pseudoword prepare` shows them all"


def test_of_two_with_one_name_the_folder_is_told(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.linear_gradient("L").save(tmp_path / folder / "1.png")
    first, second = tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"
    assert f"1.png looks like a copy of {first}" in notes_of(first, second)
