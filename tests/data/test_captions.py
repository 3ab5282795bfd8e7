import os
from pathlib import Path

import pytest

from pseudoword.config.captions import CaptionSettings
from pseudoword.data import captions, picture_files
from pseudoword.errors import PictureError, SettingsError
from pseudoword.placeholders import pack_placeholder


def test_every_shipped_template_names_the_word_once() -> None:
    for lines in captions.TEMPLATE_SETS.values():
        assert len(set(lines)) == len(lines)
        assert all(line.count("[name]") == 1 for line in lines)


def test_render_fills_in_name_and_filewords() -> None:
    assert captions.render("a [name], [filewords]", "<cat>", "asleep") == "a <cat>, asleep"


def test_templates_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("a [name]\n\n  [name] in bed  \n")
    assert captions.templates(str(file)) == ("a [name]", "[name] in bed")
    file.write_text("[filewords]\na [name]\n")
    assert captions.templates(str(file)) == ("[filewords]", "a [name]")
    assert captions.templates("filewords") == ("[filewords]",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a cat\n", r"line 1: no \[name\] in 'a cat'$"),
        ("a photo of a {}\n", r"Write \[name\] instead of \{\}"),
        ("\n", "empty"),
        ("\xff", "UTF-8"),
    ],
)
def test_a_bad_template_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.txt"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=message):
        captions.templates(str(file))


def test_an_unknown_set_is_explained() -> None:
    with pytest.raises(
        SettingsError, match="neither one of subject, style, minimal, captioned nor"
    ):
        captions.templates("nonesuch")


def test_the_old_name_of_the_subject_set_still_works() -> None:
    assert CaptionSettings(template="object").template == "subject"


def test_a_caption_may_say_where_the_word_goes() -> None:
    assert captions.render("[name]: [filewords]", "<cat>", "my [name] asleep") == (
        "<cat>: my <cat> asleep"
    )


@pytest.mark.parametrize("template", ["a [name], [filewords]", "[filewords], a [name]"])
def test_an_empty_caption_leaves_no_comma(template: str) -> None:
    assert captions.render(template, "<cat>", "") == "a <cat>"


@pytest.mark.parametrize(
    ("data", "caption"),
    [
        (b" grey,\n\n  very  striped \n", "grey,\nvery striped"),
        (b"", ""),
        ("größe".encode("utf-8-sig"), "größe"),
        ("größe".encode("utf-16"), "größe"),
        ("猫, 🐈".encode(), "猫, 🐈"),
    ],
)
def test_captions_are_read_from_the_txt_file(tmp_path: Path, data: bytes, caption: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert captions.filewords(tmp_path / "a.jpg") == caption


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("00000-0-a red car on grass.png", "a red car on grass"),
        ("12 - 3 cats, asleep.jpg", "- 3 cats, asleep"),
        ("asleep_in-bed.png", "asleep_in-bed"),
        ("v2 of 3.final.webp", "v2 of 3.final"),
        ("0001.png", ""),
        ("٣٤-قطة.png", "قطة"),
    ],
)
def test_a_file_name_is_a_caption_as_in_automatic1111(
    tmp_path: Path, name: str, caption: str
) -> None:
    """Its dataset.py leaves out `^[-\\d]+\\s*`, and by default nothing else."""
    assert captions.filewords(tmp_path / name) == caption


def test_kohya_s_captions_are_read_if_there_is_no_txt(tmp_path: Path) -> None:
    (tmp_path / "a.caption").write_text("kohya's")
    assert captions.filewords(tmp_path / "a.png") == "kohya's"
    (tmp_path / "a.txt").write_text("ours")
    assert captions.filewords(tmp_path / "a.png") == "ours"


def notes(folder: Path, template: str) -> list[str]:
    notes: list[str] = []
    pictures = [folder / "a.png", folder / "b.png"]
    templates, settings = captions.TEMPLATE_SETS[template], CaptionSettings()
    captions.note_unused(pictures, templates, settings, notes.append)
    return notes


def test_unused_captions_are_reported(tmp_path: Path) -> None:
    assert not notes(tmp_path, "captioned")
    (tmp_path / "a.caption").write_text("kohya's")
    assert not notes(tmp_path, "captioned")
    assert notes(tmp_path, "subject") == [
        "these templates do not use the pictures' captions (1 of 2 have one); --template captioned "
        "does"
    ]
    (tmp_path / "a.txt").write_text("ours")
    assert notes(tmp_path, "captioned") == [
        "1 of 2 pictures have two captions, and the .txt is used: a.txt, not a.caption"
    ]


def test_captions_may_have_endings_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "a.TXT").write_text("red")
    (tmp_path / "a.png").touch()
    said: list[str] = []
    assert picture_files.find([tmp_path], said.append) == [tmp_path / "a.png"]
    assert picture_files.find(sorted(tmp_path.iterdir())) == [tmp_path / "a.png"]
    assert not said
    assert captions.filewords(tmp_path / "a.png") == "red"
    (tmp_path / "a.txt").write_text("blue")
    assert captions.filewords(tmp_path / "a.png") == "blue"


def test_a_caption_of_several_lines_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("red\n\n")
    assert notes(tmp_path, "captioned") == []
    (tmp_path / "a.txt").write_text("red\nblue\n")
    (said,) = notes(tmp_path, "captioned")
    assert said.startswith("1 of 2 captions have several lines, which are read as one: a.txt.")
    words = captions.filewords(tmp_path / "a.png")
    assert captions.augment(words, CaptionSettings(), 0) == "red blue"
    (tmp_path / "a.txt").write_bytes(b"\xff\n\xfe\n")
    assert notes(tmp_path, "captioned") == []


def test_one_of_several_lines_may_be_read_each_time() -> None:
    """As in OneTrainer, and in kohya's scripts with --enable_wildcard."""
    settings = CaptionSettings(caption_lines="random", shuffle_tags=True, keep_tags=1)
    read = [captions.augment("red, round\nblue, flat, old", settings, seed) for seed in range(400)]
    assert set(read) == {"red, round", "blue, flat, old", "blue, old, flat"}
    assert 150 < read.count("red, round") < 250
    assert captions.variants("red\nblue", settings) == ["red", "blue"]
    assert captions.variants("red\nblue", CaptionSettings()) == ["red blue"]


def test_a_pipe_as_a_caption_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(PictureError, match=r"a\.txt cannot be read: it is a pipe"):
        captions.filewords(tmp_path / "a.png")
    for name, message in {"a.txt": "a pipe", ".": "a folder"}.items():
        with pytest.raises(SettingsError, match=f"cannot be read: it is {message}"):
            captions.templates(str(tmp_path / name))
    with pytest.raises(SettingsError, match="neither one of"):
        captions.templates("x" * 5000)
    (tmp_path / "large.txt").write_bytes(b"a" * 1_000_001)
    with pytest.raises(PictureError, match=r"it has 1 MB; at most 1 MB are read"):
        captions.filewords(tmp_path / "large.png")


def test_private_characters_in_captions_are_removed(tmp_path: Path) -> None:
    mark = pack_placeholder(0)
    assert captions.render("a [filewords]", "<cat>", f"red {mark} thing") == "a red 0 thing"


@pytest.mark.parametrize(
    "data", ["größe".encode("latin-1"), b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfe\0"]
)
def test_a_caption_that_is_not_text_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(PictureError, match=r"a\.txt: the caption is not UTF-8 text"):
        captions.filewords(tmp_path / "a.jpg")


TAGS = "grey, striped, asleep, indoors, blurry"


def augmented(**settings: object) -> list[str]:
    caption_settings = CaptionSettings.check(**settings)
    return [captions.augment(TAGS, caption_settings, seed) for seed in range(400)]


def test_by_default_captions_do_not_change() -> None:
    assert set(augmented()) == {TAGS}
    assert captions.augment("a  b,c ,", CaptionSettings(), 0) == "a  b,c ,"


def test_kept_tags_are_not_shuffled() -> None:
    results = augmented(shuffle_tags=True, keep_tags=2)
    assert len(set(results)) == 6
    assert all(words.startswith("grey, striped, ") for words in results)
    assert all(sorted(words.split(", ")) == sorted(TAGS.split(", ")) for words in results)


def test_tags_are_dropped_as_often_as_asked() -> None:
    assert set(augmented(drop_tags=1.0)) == {""}
    assert set(augmented(drop_tags=1.0, keep_tags=2)) == {"grey, striped"}
    left = [len(words.split(", ")) for words in augmented(drop_tags=0.25, keep_tags=1)]
    assert sum(left) / len(left) == pytest.approx(1 + 4 * 0.75, abs=0.15)


def test_whole_captions_are_dropped_as_often_as_asked() -> None:
    results = augmented(drop_caption=0.3, keep_tags=5)
    assert set(results) == {TAGS, ""}
    assert results.count("") / len(results) == pytest.approx(0.3, abs=0.07)


def test_the_same_seed_gives_the_same_caption() -> None:
    caption_settings = {"shuffle_tags": True, "drop_tags": 0.5}
    assert augmented(**caption_settings) == augmented(**caption_settings)
