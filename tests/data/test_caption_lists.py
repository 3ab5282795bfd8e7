"""Captions in `metadata.jsonl`, `metadata.csv`, `data.jsonl` and `meta_cap.json`."""

import json
import unicodedata
from pathlib import Path

import pytest
from PIL import Image
from support import Notes

from pseudoword.config import TrainConfig
from pseudoword.config.captions import CaptionSettings
from pseudoword.config.pictures import PictureSettings
from pseudoword.data import captions, examples, picture_files
from pseudoword.data.caption_lists import listed_caption
from pseudoword.errors import PictureError
from pseudoword.fleet import jobs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures in `train/`."""
    (tmp_path / "train").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (32, 32), "red").save(tmp_path / "train" / f"{name}.png")
    return tmp_path / "train"


def write(file: Path, *rows: object) -> None:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8-sig")


def test_a_list_in_the_folder_or_above_it_has_the_captions(folder: Path) -> None:
    a, b = folder / "a.png", folder / "b.png"
    write(folder.parent / "data.jsonl", {"file_name": "train/a.png", "text": "above"})
    assert (listed_caption(a), listed_caption(b)) == ("above", None)
    write(
        folder / "metadata.jsonl",
        {"file_name": "a.png", "caption": " grey,\n striped"},
        3,
        {"file_name": str(b), "prompt": "\ud800"},
        {"file_name": "b.png", "objects": []},
    )
    assert (captions.filewords(a), captions.filewords(b)) == ("grey,\nstriped", "?")
    a.with_suffix(".txt").write_text("beside it")
    assert captions.filewords(a) == "beside it"


def test_a_list_is_read_as_the_hub_and_invoke_training_write_it(folder: Path) -> None:
    write(folder / "data.jsonl", {"image": "a.png", "text": "of invoke-training"})
    table = 'file_name,likes,text\r\na.png,3,"grey,\r\n ""soft"""\r\nb.png\r\n'
    assert listed_caption(folder / "a.png") == "of invoke-training"
    (folder / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + table.encode())
    assert listed_caption(folder / "a.png") == 'grey,\r\n "soft"'
    assert listed_caption(folder / "b.png") is None
    assert picture_files.find([folder]) == [folder / "a.png", folder / "b.png"]


def test_a_list_is_read_as_kohyas_scripts_write_it(folder: Path) -> None:
    a, b = folder / "a.png", folder / "b.png"
    first = {"a": {"caption": "asleep\nat rest"}, "b": {"tags": "red"}, "c": 3}
    (folder / "meta_cap.json").write_text(json.dumps(first))
    assert (listed_caption(a), listed_caption(b)) == ("asleep\nat rest", "red")
    cleaned = {
        "a": {"caption": "asleep\nat rest", "tags": "grey,\n soft", "train_resolution": [64, 64]},
        str(b): {"caption": "", "tags": "blue"},
    }
    (folder / "meta_clean.json").write_text(json.dumps(cleaned))
    assert (listed_caption(a), listed_caption(b)) == (
        "asleep, grey, soft\nat rest, grey, soft",
        "blue",
    )
    (folder / "meta_lat.json").write_text('{"a": {"train_resolution": [64, 64]}}')
    assert listed_caption(b) == "blue"
    assert picture_files.find([folder]) == [a, b]
    write(
        folder / "metadata.jsonl",
        {"image_path": str(a), "caption": "on a sofa", "tags": "old"},
        {"file_name": "b.png", "text": "at sea", "tags": "those of a data set"},
    )
    assert (listed_caption(a), listed_caption(b)) == ("on a sofa, old", "at sea")


@pytest.mark.parametrize("place", [".", ".."])
def test_kohyas_paths_may_be_those_of_another_place(place: str, folder: Path) -> None:
    theirs = {
        "C:\\img\\train\\a.png": {"caption": "of Windows"},
        "/data/train/b": {"caption": "of Linux"},
        "/data/other/a.png": {"caption": "another folder's"},
    }
    (folder / place / "meta_lat.json").write_text(json.dumps(theirs))
    assert listed_caption(folder / "a.png") == "of Windows"
    assert listed_caption(folder / "b.png") == "of Linux"


@pytest.mark.parametrize("damaged", [b"{", b"\xff", b"[" * 100_000, b"9" * 9000])
def test_a_damaged_list_of_kohyas_scripts_is_told(damaged: bytes, folder: Path) -> None:
    (folder / "meta_cap.json").write_bytes(damaged)
    with pytest.raises(PictureError, match=r"meta_cap\.json: this is no JSON in UTF-8"):
        captions.filewords(folder / "a.png")


def test_a_listed_caption_of_several_lines_is_told(folder: Path) -> None:
    (folder / "meta_cap.json").write_text('{"a": {"caption": "one\\ntwo"}, "b": {"caption": "c"}}')
    notes = Notes()
    captions.note_unused(
        picture_files.find([folder]), captions.CAPTIONED, CaptionSettings(), notes.note
    )
    assert len(notes.lines) == 1
    assert notes.lines[0].startswith("1 of 2 captions have several lines, which are read as one: a")


@pytest.mark.parametrize("damaged", [b'file_name,text\na.png,"red', b"\xff", b"a" * 200_000])
def test_a_damaged_table_is_told(damaged: bytes, folder: Path) -> None:
    (folder.parent / "metadata.csv").write_bytes(damaged)
    assert captions.filewords(folder / "a.png") == "a"
    (folder / "metadata.csv").write_bytes(damaged)
    with pytest.raises(PictureError, match=r"metadata\.csv: this is no table of captions"):
        captions.filewords(folder / "a.png")


def test_a_list_is_read_again_when_it_has_changed(folder: Path) -> None:
    write(folder / "metadata.jsonl", {"file_name": "a.png", "text": "old"})
    before = examples.fingerprint([folder / "a.png"], PictureSettings(pictures=(folder,)))
    assert listed_caption(folder / "a.png") == "old"
    write(folder / "metadata.jsonl", {"file_name": "a.png", "text": "new one"})
    assert listed_caption(folder / "a.png") == "new one"
    after = examples.fingerprint([folder / "a.png"], PictureSettings(pictures=(folder,)))
    assert before != after


@pytest.mark.parametrize("damaged", [b"{", b"\xff", b"[" * 100_000, b"9" * 9000])
def test_a_damaged_list_is_told_if_it_lies_beside_the_pictures(
    damaged: bytes, folder: Path
) -> None:
    (folder.parent / "metadata.jsonl").write_bytes(damaged)
    assert captions.filewords(folder / "a.png") == "a"
    (folder / "metadata.jsonl").write_bytes(b"\n" + damaged)
    with pytest.raises(PictureError, match=r"metadata\.jsonl, line 2: this is no JSON in UTF-8"):
        captions.filewords(folder / "a.png")
    examples.fingerprint([folder / "a.png"], PictureSettings(pictures=(folder,)))


def test_a_list_is_no_picture_and_its_captions_count(folder: Path) -> None:
    write(folder / "metadata.jsonl", {"file_name": "a.png", "text": "red"})
    notes = Notes()
    found = picture_files.find([folder], notes.note)
    assert found == picture_files.find(sorted(folder.iterdir()), notes.note)
    assert not notes.lines
    captions.note_unused(found, captions.SUBJECT, CaptionSettings(), notes.note)
    assert notes.lines[0].startswith("these templates do not use the pictures' captions (1 of 2")
    captions.note_file_names(found, captions.SUBJECT, notes.note)
    assert len(notes.lines) == 1
    captions.note_file_names(found, captions.CAPTIONED, notes.note)
    assert notes.lines[1:] == [
        "1 of 2 pictures have no caption, so the names of their files are used: 'b'"
    ]


def test_a_list_that_names_no_picture_here_is_told(folder: Path) -> None:
    pictures = picture_files.find([folder])
    write(folder / "metadata.jsonl", {"file_name": "a.png", "description": "red"})
    write(folder / "data.jsonl", {"file_name": "train/a.png", "text": "red"})
    notes = Notes()
    captions.note_unused(pictures, captions.CAPTIONED, CaptionSettings(), notes.note)
    assert [line.partition(": nothing in it is the caption of")[0] for line in notes.lines] == [
        str(folder / "metadata.jsonl"),
        str(folder / "data.jsonl"),
    ]
    write(folder / "metadata.jsonl", {"file_name": "b.png", "text": "red"})
    (folder / "data.jsonl").unlink()
    captions.note_unused(pictures, captions.CAPTIONED, CaptionSettings(), notes.note)
    assert len(notes.lines) == 2


def test_pictures_without_any_words_are_told(tmp_path: Path) -> None:
    pictures = [tmp_path / "1.png", tmp_path / "2.png"]
    (tmp_path / "1.txt").write_text("red")
    notes = Notes()
    captions.note_file_names(pictures, captions.CAPTIONED, notes.note)
    assert notes.lines == [
        "1 of 2 pictures have no caption, and no words in the names of their files: [filewords] is "
        "empty"
    ]


def test_a_queue_carries_listed_captions(folder: Path, tmp_path: Path) -> None:
    write(folder.parent / "data.jsonl", {"file_name": "train/a.png", "text": "red, größer"})
    config = TrainConfig(pictures=(folder,), token="<x>", template="filewords")
    job = jobs.make_job(config, Notes().note)
    opened = jobs.open_job(job, tmp_path / "there", tmp_path / "out")
    assert opened.template == "filewords"
    assert captions.filewords(opened.pictures[0] / "a.png") == "red, größer"


def test_a_list_names_pictures_as_people_write_them(folder: Path) -> None:
    """Disks of macOS, and archives of them, have the letter and its accent apart."""
    apart = unicodedata.normalize("NFD", "café.png")
    Image.new("RGB", (32, 32), "red").save(folder / apart)
    write(folder / "metadata.jsonl", {"file_name": "café.png", "text": "a cup"})
    assert captions.filewords(folder / apart) == "a cup"
    reported = Notes()
    captions.note_unused([folder / apart], ["[filewords]"], CaptionSettings(), reported.note)
    assert not reported.lines
