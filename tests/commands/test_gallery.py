import errno
import json
import os
from pathlib import Path

import embedding_files
import numpy as np
import pytest
from embedding_files import rows
from PIL import Image
from support import run
from word_files import write_as, write_word

from pseudoword import api
from pseudoword.concept import Concept
from pseudoword.errors import PseudowordError
from pseudoword.report import word_sheet
from pseudoword.report.word_sheet import CELL_PX, GAP_PX


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Words of several tools, pictures without words, and a broken file."""
    folder_of_words = tmp_path / "embeddings"
    (folder_of_words / "sub").mkdir(parents=True)
    embedding_files.write("SDXL", folder_of_words / "sub", ".safetensors")
    embedding_files.write("paper, several", folder_of_words, ".pt")
    word = Concept("<red>", {"clip_l": rows(2, 768)}, "sd")
    write_as(
        word, folder_of_words / "red.png", "a1111-png", Image.new("RGB", (50, 50), (255, 0, 0))
    )
    write_word(word, folder_of_words / "blue.safetensors")
    Image.new("RGB", (50, 50), (0, 0, 255)).save(folder_of_words / "blue.preview.png")
    Image.new("RGB", (50, 50)).save(folder_of_words / "no word.png")
    (folder_of_words / "broken.bin").write_bytes(b"PK\3\4 and no more")
    (folder_of_words / "empty.pt").touch()
    (folder_of_words / "notes.txt").write_text("not looked at")
    return folder_of_words


def test_gallery_lists_words_and_says_what_it_skipped(folder: Path) -> None:
    result = api.gallery(folder)
    assert [(Path(w.file).name, w.token, w.families) for w in result.words] == [
        ("blue.safetensors", "<red>", ["sd"]),
        ("file.pt", "<cat>", ["sd"]),
        ("file.pt", "<dog>", ["sd"]),
        ("red.png", "<red>", ["sd"]),
        ("file.safetensors", "file", ["sdxl"]),
    ]
    assert result.words[-1].vectors == {"clip_g": (3, 1280), "clip_l": (3, 768)}
    assert [Path(name).name for name in result.skipped] == ["broken.bin"]
    assert {Path(name).name: why for name, why in result.left_out.items()} == {"empty.pt": "empty"}
    assert "damaged zip" in next(iter(result.skipped.values()))
    assert result.sheet == str(folder / "gallery.png")
    sheet = np.asarray(Image.open(folder / "gallery.png"))
    middle = GAP_PX + CELL_PX // 2
    assert sheet[middle, middle].tolist() == [0, 0, 255]  # blue's preview comes first
    fourth = GAP_PX + 3 * (CELL_PX + GAP_PX) + CELL_PX // 2
    assert sheet[middle, fourth].tolist() == [255, 0, 0]
    assert len(api.gallery(folder).words) == 5  # the sheet itself holds no word


def test_gallery_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    code, output, _ = run("gallery", folder, "--out", tmp_path / "all.png")
    assert code == 0
    assert "<dog>" in output
    assert "broken.bin" in output
    assert (tmp_path / "all.png").is_file()
    result = json.loads(run("gallery", folder, "--json")[1])
    assert len(result["words"]) == 5
    code, _, complained = run("gallery", tmp_path / "none")
    assert code == 2
    assert "none does not exist" in complained


def test_a_run_counts_once_and_shows_its_preview(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs" / "cat"
    api.train(pictures, "<cat>", base=str(base), steps=1, init="cat", out=out)
    result = api.gallery(tmp_path / "runs")
    assert [w.token for w in result.words] == ["<cat>"]
    assert result.words[0].preview == str(out / "previews" / "step-1-1.png")
    assert result.skipped == {}


def test_an_empty_folder_gives_no_sheet(tmp_path: Path) -> None:
    result = api.gallery(tmp_path)
    assert (result.words, result.sheet) == ([], None)
    with pytest.raises(PseudowordError):
        api.gallery(tmp_path / "nowhere")


def test_a_sheet_shows_as_many_words_as_it_has_room_for_and_reports_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_sheet, "MAX_CELLS", 2)
    result = api.gallery(folder)
    assert (result.shown, len(result.words)) == (2, 5)
    assert Image.open(folder / "gallery.png").height < 2 * CELL_PX
    assert "(the first 2 words)" in run("gallery", folder)[1]


def test_files_that_are_left_out_are_listed(tmp_path: Path) -> None:
    word = Concept("<cat>", {"clip_l": rows(2, 768)}, "sd")
    other = Concept("<dog>", {"clip_l": rows(1, 768)}, "sd")
    for name in ("toy.safetensors", "toy_2.safetensors", "odd.pti", "no ending", ".hidden.pt"):
        write_word(word if name == "toy.safetensors" else other, tmp_path / name)
    write_as(word, tmp_path / "alone.preview.png", "a1111-png", Image.new("RGB", (9, 9)))
    write_as(word, tmp_path / "toy.preview.png", "a1111-png", Image.new("RGB", (9, 9)))
    damaged = bytearray((tmp_path / "toy.preview.png").read_bytes())
    damaged[damaged.index(b"sd-ti-embedding") + 40] ^= 1
    (tmp_path / "damaged.png").write_bytes(damaged)
    (tmp_path / "picture.jxl").write_bytes(b"\xff\x0a")
    (tmp_path / "notes.md").write_text("{}")
    os.mkfifo(tmp_path / "pipe.pt")
    outside = tmp_path.parent / f"{tmp_path.name} linked"
    write_word(other, outside / "linked.safetensors")
    (tmp_path / "link").symlink_to(outside)
    (outside / "ring").symlink_to(tmp_path)
    result = api.gallery(tmp_path)
    assert [Path(w.file).name for w in result.words] == [
        *("alone.preview.png", "no ending", "odd.pti", "toy.safetensors", "toy_2.safetensors"),
        "linked.safetensors",
    ]
    assert [Path(name).name for name in result.skipped] == ["damaged.png"]
    assert {Path(name).name for name in result.left_out} == {".hidden.pt", "pipe.pt", "picture.jxl"}


def test_a_file_that_nobody_may_look_at_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(api.gallery(folder).words)
    (folder / "forbidden.pt").symlink_to("/elsewhere")
    is_file = Path.is_file

    def looked_at(path: Path) -> bool:
        if path.name == "forbidden.pt":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", looked_at)
    result = api.gallery(folder)
    assert len(result.words) == before
    assert result.left_out[str(folder / "forbidden.pt")] == "cannot be read: Permission denied"


def test_the_two_files_of_an_sdxl_word_are_one_word(tmp_path: Path) -> None:
    both = Concept("<cat>", {"clip_l": rows(2, 768), "clip_g": rows(2, 1280)}, "sdxl")
    write_as(both, tmp_path / "cat.safetensors", "diffusers")
    result = api.gallery(tmp_path)
    assert [(w.token, w.families) for w in result.words] == [("<cat>", ["sdxl"])]


def test_only_files_of_a_run_are_left_out_of_its_folder(tmp_path: Path) -> None:
    word = Concept("<cat>", {"clip_l": rows(1, 768)}, "sd")
    (tmp_path / "log.jsonl").touch()
    write_word(word, tmp_path / "theirs.safetensors")
    run = tmp_path / "run"
    for name in ("concept.safetensors", "best.safetensors", "words/step-1.safetensors", "x.bin"):
        write_word(word, run / name)
    for name in ("config.toml", "log.jsonl"):
        (run / name).touch()
    result = api.gallery(tmp_path)
    assert [Path(w.file).name for w in result.words] == [
        *("theirs.safetensors", "concept.safetensors", "x.bin")
    ]
    (run / "concept.safetensors").unlink()
    result = api.gallery(tmp_path)
    assert "has not ended" in result.left_out[str(run)]


def test_a_folder_without_embeddings_is_told(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = run("gallery", tmp_path)
    assert done[:2] == (0, f"no embedding in {tmp_path}\n")
