"""No command replaces a file that it did not write."""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import embedding_files
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support import everything, learn, run
from word_files import write_word

from pseudoword import api, formats, outputs
from pseudoword.api import train
from pseudoword.commands import generate
from pseudoword.concept import Concept
from pseudoword.config import (
    BenchConfig,
    EvaluateConfig,
    GenerateConfig,
    PrepareConfig,
    Settings,
    TrainConfig,
)
from pseudoword.errors import RunFolderError, SettingsError, StorageError
from pseudoword.files import WINDOWS
from pseudoword.models import base_model
from pseudoword.models.families.drawing import DiffusersDrawing
from pseudoword.outputs import RECORD, Outputs
from pseudoword.progress import Silent
from pseudoword.report import picture_output
from pseudoword.runs import checkpoint
from pseudoword.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("models_are_kept")

PRECIOUS = b"somebody's"


def put(path: Path, data: bytes = PRECIOUS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model may be loaded."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a model was loaded first")

    monkeypatch.setattr(base_model, "load", refuse)


# The mechanism


def test_a_file_is_ours_only_as_we_wrote_it(tmp_path: Path) -> None:
    ours = Outputs(tmp_path, "train")
    ours.write("a/b.png", b"1")
    ours.register("log")
    for name in ("log", "theirs"):
        put(tmp_path / name)
    assert ours.owned() == ["a/b.png", "log"]
    assert ours.foreign(["a/b.png", "log", "theirs", "absent"]) == [tmp_path / "theirs"]
    assert Outputs(tmp_path, "other").owned(["a/b.png"]) == []
    put(tmp_path / "a" / "b.png", b"2")
    assert ours.foreign(["a/b.png"]) == [tmp_path / "a" / "b.png"]
    ours.remove(*ours.recorded())
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        RECORD,
        "b.png",
        "theirs",
    ]
    put(tmp_path / "log")
    assert ours.owned() == []  # a removed file is no longer ours


def test_a_kill_between_record_and_file_keeps_the_old_file_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Outputs(tmp_path, "train")
    ours.write("a", b"1")
    with monkeypatch.context() as patch:
        patch.setattr(outputs, "write_whole", lambda *_: None)
        ours.write("a", b"2")
    with ours.record.open("ab") as record:
        record.write(b'\n{"maker": "train", "na')  # and a line cut off
    assert ours.owned() == ["a"]
    ours.write("a", b"3")
    assert ours.owned() == ["a"]


@pytest.mark.parametrize(
    "line",
    [
        {"name": "../kept"},
        {"name": "/etc/passwd"},
        {"name": ""},
        {"name": 5},
        {"name": "a\\..\\kept"},
        {"name": "a\0b"},
        [],
        None,
    ],
)
def test_a_record_never_leads_out_of_its_folder(tmp_path: Path, line: object) -> None:
    kept = put(tmp_path / "kept")
    whole = {"maker": "train", "sha256": None, **line} if isinstance(line, dict) else line
    folder = put(tmp_path / "run" / RECORD, json.dumps(whole).encode()).parent
    ours = Outputs(folder, "train")
    ours.remove(*ours.recorded())
    assert kept.read_bytes() == PRECIOUS
    assert ours.recorded() == []


@pytest.mark.skipif(WINDOWS, reason="there a drive is called so")
def test_a_file_may_be_called_as_a_drive_is_elsewhere(tmp_path: Path) -> None:
    Outputs(tmp_path, "train").write("c:word", b"1")
    assert Outputs(tmp_path, "train").owned() == ["c:word"]


def test_the_same_bytes_are_not_written_again_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a"
    outputs.write_new(path, b"1")
    before = path.stat().st_mtime_ns
    outputs.write_new(path, b"1")
    assert path.stat().st_mtime_ns == before
    with pytest.raises(StorageError, match="--overwrite"):
        outputs.write_new(path, b"2")
    assert path.read_bytes() == b"1"
    outputs.write_new(path, b"2", overwrite=True)
    assert path.read_bytes() == b"2"
    assert list(path.parent.iterdir()) == [path]


def fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (lambda path: path.mkdir(), "x", "is not a file"),
        (fifo, "x", "is not a file"),
        (lambda _: None, "猫" * 86, "shorter name"),
        (lambda _: None, f"{'a' * 300}/x", "shorter name"),
        (lambda _: None, "a\0b", "no file can have this name"),
        (lambda path: put(path.parent), "file/x", "has the name of a folder"),
        (lambda path: path.symlink_to(path), "x", "symbolic links"),
    ],
)
def test_check_writable_finds_problems_without_writing(
    make: Callable[[Path], object], name: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    make(path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StorageError, match=message):
        outputs.check_writable(path)
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_written_to_a_folder_that_is_called_as_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for address in ("s3://bucket/toy.pt", "https://example.org/toy.pt", "gs:/bucket/toy.pt"):
        with pytest.raises(StorageError, match="it is an address"):
            outputs.check_writable(Path(address))
    outputs.check_writable(Path("a b:/toy.pt"), Path("./toy.pt"))
    (tmp_path / "s3:").mkdir()
    outputs.check_writable(Path("s3:/toy.pt"))


def test_a_drive_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, where not even the topmost folder of a path need exist."""
    looks = iter(range(100))  # and not for ever

    def exists(_path: Path) -> bool:
        next(looks)
        return False

    monkeypatch.setattr(Path, "exists", exists)
    with pytest.raises(StorageError, match="there is no /"):
        outputs.check_writable(Path("/drive/runs/toy.png"))


def test_a_name_that_windows_has_not_is_refused_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs.check_writable(tmp_path / "<toy>" / "toy.png")
    monkeypatch.setattr(outputs, "WINDOWS", True)
    with pytest.raises(StorageError, match=r"names on Windows have no < >\. Choose another name"):
        outputs.check_writable(tmp_path / "<toy>" / "toy.png")
    outputs.check_writable(tmp_path / "toy" / "toy.png")


def test_check_writable_finds_a_folder_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(outputs, "create_temporary", refuse)  # root may write anywhere
    with pytest.raises(StorageError, match="Check the permissions"):
        outputs.check_writable(tmp_path / "x")


# Runs

NAMES = (
    *("best.safetensors", "log.jsonl", "loss.png", "config.toml", "concept.safetensors"),
    *("rate.png", "chosen.json", "changes.json", "previews/filmstrip.png", "checkpoint-2.pt"),
    *("previews/step-1-1.png", "words/step-1.safetensors", "finished-2.pt"),
)


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("restart", [False, True])
def test_a_run_never_begins_where_it_would_replace_a_file_of_someone_else(
    name: str, restart: bool, base: Path, pictures: Path, tmp_path: Path
) -> None:
    put(tmp_path / "mine" / name)
    before = everything(tmp_path)
    with pytest.raises(RunFolderError, match=rf"{name} would be replaced.*--overwrite"):
        learn(base, pictures, tmp_path / "mine", restart=restart)
    assert everything(tmp_path) == before


def test_restart_removes_what_the_run_wrote_and_nothing_else(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    theirs = ("notes.txt", "previews/mine.png", "checkpoint-999.pt", "words/step-x.safetensors")
    for name in theirs:
        put(out / name)
    options: dict[str, Any] = {"preview": ["[name] --s 1"], "save_every": 1, "steps": 3}
    learn(base, pictures, out, **options)
    for name in (late := ("previews/step-77-1.png", "words/step-9.safetensors")):
        put(out / name)
    learn(base, pictures, out, **(options | {"steps": 2, "preview": ()}), restart=True)
    for name in (*theirs, *late):
        assert (out / name).read_bytes() == PRECIOUS
    left = {p.name for p in out.rglob("*") if p.is_file() and p.read_bytes() != PRECIOUS}
    assert left == {
        *("config.toml", "log.jsonl", "loss.png", "concept.safetensors", "best.safetensors"),
        *("chosen.json", "finished-2.pt", "step-1.safetensors", "step-2.safetensors"),
        *(RECORD, ".pseudoword.lock"),
    }


@pytest.mark.parametrize("removed", range(6))
def test_a_killed_restart_never_resumes_from_the_old_checkpoints(
    removed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    names = ("config.toml", "loss.png", "checkpoint-5.pt", "concept.safetensors", "checkpoint-9.pt")
    for name in names:
        folder.files.write(name, b"")
    unlink, calls = os.unlink, 0

    def die(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls > removed:
            raise KeyboardInterrupt
        unlink(path)

    monkeypatch.setattr(os, "unlink", die)
    with contextlib.suppress(KeyboardInterrupt):
        folder.clear()
    monkeypatch.undo()
    assert folder.files.owned([*names]) == [name for name in names if (tmp_path / name).exists()]
    assert len(folder.files.owned()) == len(names) - removed
    assert not checkpoint.steps(tmp_path) or folder.files.owned(["config.toml"])


def test_a_run_without_its_settings_is_not_replaced(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    out = learn(base, pictures, tmp_path / "run").folder
    word = (out / "concept.safetensors").read_bytes()
    (out / "config.toml").unlink()
    with pytest.raises(RunFolderError, match=r"but not its config\.toml.*--restart"):
        learn(base, pictures, out, lr=0.1)
    assert (out / "concept.safetensors").read_bytes() == word
    assert learn(base, pictures, out, restart=True).seconds > 0


def test_changed_files_in_a_run_s_folder_are_replaced_only_when_asked(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    out = learn(base, pictures, tmp_path / "run").folder
    put(out / "loss.png")
    for more in ({"extend": 1}, {"restart": True}):
        with pytest.raises(RunFolderError, match=r"loss\.png would be replaced"):
            learn(base, pictures, out, **more)
    assert (out / "loss.png").read_bytes() == PRECIOUS
    learn(base, pictures, out, extend=1, overwrite=True)
    assert (out / "loss.png").read_bytes() != PRECIOUS


def test_a_run_without_its_record_is_refused_and_stays(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    out = learn(base, pictures, tmp_path / "run").folder
    (out / RECORD).unlink()
    before = everything(out)
    for more in ({"extend": 1}, {"restart": True}):
        with pytest.raises(RunFolderError, match=r"config\.toml.* would be replaced.*--overwrite"):
            learn(base, pictures, out, **more)
    assert everything(out) == before
    learn(base, pictures, out, overwrite=True)
    assert Outputs(out, "train").foreign(["config.toml", "concept.safetensors"]) == []


@pytest.mark.usefixtures("nothing_heavy")
def test_a_config_in_the_folder_is_not_yet_a_run(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    config = TrainConfig.check(pictures=[pictures], token="<cat>", base=str(base), out=tmp_path)
    put(tmp_path / "config.toml", f"# my settings\n{config.to_toml()}".encode())
    with pytest.raises(RunFolderError, match=r"config\.toml would be replaced"):
        train(config=tmp_path / "config.toml", out=tmp_path)


def test_a_file_that_appears_while_a_run_is_set_up_is_not_replaced(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = base_model.load

    def slowly(*args: Any, **options: Any) -> Any:
        put(tmp_path / "run" / "loss.png")
        return choose(*args, **options)

    monkeypatch.setattr(base_model, "load", slowly)
    with pytest.raises(RunFolderError, match=r"loss\.png would be replaced"):
        learn(base, pictures, tmp_path / "run")
    assert (tmp_path / "run" / "loss.png").read_bytes() == PRECIOUS


def test_a_run_does_not_replace_what_it_learns_from(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    out = learn(base, pictures, tmp_path / "run", preview=["[name] --s 1"]).folder
    before = everything(out)
    drawn = out / "previews" / "step-2-1.png"
    for seen, given in (
        (pictures, {"init": out}),
        (pictures, {"init": out / "best.safetensors"}),
        (pictures, {"init": f"{out}/concept.safetensors=<cat>"}),
        (pictures, {"words": f"{out}=<other>"}),
        (pictures, {"words": f"{out}/concept.safetensors=<other>"}),
        (drawn, {}),
    ):
        with pytest.raises(
            SettingsError, match=r"belongs to the run in .*run, which would replace"
        ):
            learn(base, seen, out, restart=True, **given)
    assert everything(out) == before


def test_a_run_may_be_in_a_folder_that_is_called_as_the_word_it_starts_from(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert learn(base, pictures, Path("cat"), init="cat").folder == Path("cat")


def test_sheets_are_made_again_where_all_was_moved_together(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    def sheets(work: Path) -> list[str]:
        api.prepare(work / "photos", base=str(base), out=work / "photos.png")
        api.gallery(work / "words", out=work / "words.png")
        return sorted(path.name for path in work.iterdir())

    work = tmp_path / "work"
    shutil.copytree(pictures, work / "photos")
    write_word(Concept("<cat>", {"clip_l": torch.ones(1, 768)}), work / "words" / "cat.safetensors")
    made = sheets(work)
    moved = work.rename(tmp_path / "moved")
    assert sheets(moved) == made
    (moved / "words").rename(moved / "others")
    with pytest.raises(StorageError, match="would be replaced"):
        api.gallery(moved / "others", out=moved / "words.png")


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize("inside", [".", "masks", "../pictures/previews"])
def test_no_output_goes_into_the_folder_of_pictures(
    inside: str, base: Path, pictures: Path, tmp_path: Path
) -> None:
    read = pictures
    if inside.endswith("previews"):  # those of a run are read
        read = pictures / "previews"
        pictures.rename(tmp_path / "previews")
        pictures.mkdir()
        (tmp_path / "previews").rename(read)
    out = read.parent if inside.endswith("previews") else pictures / inside
    out.mkdir(exist_ok=True)
    before = everything(tmp_path)
    with pytest.raises(SettingsError, match="the folder that pictures are read from"):
        learn(base, read, out)
    with pytest.raises(SettingsError, match="the folder that pictures are read from"):
        api.prepare(read, out=(read if out != pictures / "masks" else out) / "x.png")
    assert everything(tmp_path) == before


# Every command


def takes_path(hint: Any) -> bool:
    return hint is Path or any(map(takes_path, get_args(hint)))


def bad_paths() -> list[tuple[str, ...]]:
    """All options of all commands that take a path, with none."""
    result = []
    kinds: dict[str, type[Settings]] = {"train": TrainConfig, "prepare": PrepareConfig}
    for command, kind in (kinds | {"evaluate": EvaluateConfig, "bench": BenchConfig}).items():
        for name, field in kind.model_fields.items():
            if takes_path(field.annotation) and name != "pictures":
                positional: tuple[str, ...] = () if command == "bench" else ("x",)
                positional += ("--pictures", "x") if command == "evaluate" else ()
                result.append((command, *positional, f"--{name.replace('_', '-')}", ""))
    return [
        *result,
        ("train", ""),
        ("train", "x", "--config", ""),
        ("prepare", ""),
        ("prepare", "x", "--out", ""),
        ("generate", "a", "--out", ""),
        ("convert", "x", ""),
        ("convert", "x", "y.png", "--picture", ""),
        ("gallery", ""),
        ("gallery", "x", "--out", ""),
        ("evaluate", "x", "--pictures", ""),
        ("push", "", "--to", "a/b"),
        ("demo", "--out", ""),
    ]


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize("arguments", bad_paths(), ids=" ".join)
@pytest.mark.parametrize(
    ("given", "told"),
    [("", "is empty|no file or folder"), ("-", "standard input or output")],
    ids=["empty", "dash"],
)
def test_nothing_and_a_dash_are_no_folder(
    given: str,
    told: str,
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said, complained = run(*(argument or given for argument in arguments))
    assert (code, said) == (2, "")
    assert re.search(told, " ".join(complained.split()))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def word(tmp_path: Path) -> Path:
    """A word for the bundled model, in a file."""
    path = tmp_path / "word.safetensors"
    rows = embedding_files.rows(1, 256)
    write_word(Concept("<cat>", {"clip_l": rows}, "sd"), path)
    return path


def commands(out: Path, word: Path, pictures: Path) -> dict[str, tuple[tuple[object, ...], str]]:
    """Arguments, and a file that the command would write."""
    return {
        "generate": (("generate", "a", "--out", out / "a.png"), "a.png"),
        "generate several": (("generate", "a", "-n", 3, "--out", out / "a.png"), "a-2.png"),
        "prepare": (("prepare", pictures, "--out", out / "sheet.jpg"), "sheet.jpg"),
        "convert": (("convert", word, out / "a.pt"), "a.pt"),
        "convert, second file": (
            ("convert", out / "xl.safetensors", out / "b.bin"),
            "b_2.bin",
        ),
        "gallery": (("gallery", out / "embeddings"), "embeddings/gallery.png"),
        "evaluate": (("evaluate", word, "--pictures", pictures, "--out", out), "report.html"),
        "bench": (("bench", "--out", out), "table.md"),
        "bench, lessons": (("bench", "--out", out), "lessons"),
        "demo": (("demo", "--out", out), "before_after.png"),
        "train": (("train", pictures, "--token", "<a>", "--out", out), "log.jsonl"),
    }


@pytest.fixture
def out(tmp_path: Path, word: Path) -> Path:
    """A folder that commands write to, with words of one and of two text encoders."""
    out = tmp_path / "out"
    put(out / "embeddings" / "a.safetensors", word.read_bytes())
    both = {"clip_l": embedding_files.rows(1, 768), "clip_g": embedding_files.rows(1, 1280)}
    write_word(Concept("<xl>", both, "sdxl"), out / "xl.safetensors")
    return out


COMMANDS = tuple(commands(Path(), Path(), Path()))


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize("what", COMMANDS)
def test_no_command_replaces_a_file_and_each_checks_before_the_work(
    what: str, word: Path, pictures: Path, tmp_path: Path, out: Path
) -> None:
    arguments, name = commands(out, word, pictures)[what]
    put(out / name)
    before = everything(tmp_path)
    code, said, complained = run(*arguments)
    assert (code, said) == (2, "")
    assert f"{out / name}" in complained
    assert "--overwrite" in complained
    assert everything(tmp_path) == before


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize("what", ["generate", "prepare", "convert", "evaluate", "demo", "train"])
def test_a_broken_link_is_not_replaced(what: str, word: Path, pictures: Path, out: Path) -> None:
    arguments, name = commands(out, word, pictures)[what]
    (link := out / name).symlink_to("nowhere")
    code, said, complained = run(*arguments)
    assert (code, said) == (2, "")
    assert "--overwrite" in complained
    assert link.is_symlink()


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize("what", COMMANDS)
def test_an_output_that_cannot_be_written_is_an_error_before_the_work(
    what: str, word: Path, pictures: Path, tmp_path: Path, out: Path
) -> None:
    put(tmp_path / "file")
    arguments, _ = commands(out, word, pictures)[what]
    in_file = [
        str(a).replace(str(out), str(tmp_path / "file")) if i else a
        for i, a in enumerate(arguments)
        if a != out / "embeddings"
    ]
    if what == "gallery":
        in_file += [out / "embeddings", "--out", tmp_path / "file" / "x.png"]
    if what == "convert, second file":
        in_file[1] = out / "xl.safetensors"
    before = everything(tmp_path)
    code, said, complained = run(*in_file)
    assert (code, said) == (2, "")
    assert str(tmp_path / "file") in complained
    assert everything(tmp_path) == before


def test_a_sheet_replaces_only_an_earlier_one_of_the_same_pictures(
    word: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = put(tmp_path / "embeddings" / "a.safetensors", word.read_bytes()).parent
    sheet = Path(api.gallery(folder).sheet or "")
    first = sheet.read_bytes()
    put(folder / "b.safetensors", word.read_bytes())
    api.gallery(folder)
    assert sheet.read_bytes() != first
    with pytest.raises(StorageError, match="is there already"):  # another folder's
        api.gallery(tmp_path, out=sheet)
    for ending in (".png", ".jpg", ".webp"):
        out = tmp_path / f"sheet{ending}"
        api.prepare(pictures, out=out, base="emoji")
        first = out.read_bytes()
        api.prepare(pictures, out=out, base="emoji", flip=True)
        assert out.read_bytes() != first
        with Image.open(out) as changed:  # by someone else, with its EXIF data
            exif, painted = changed.getexif(), changed.convert("RGB")
        painted.paste("red", (0, 0, 40, 40))
        painted.save(out, exif=exif)
        with pytest.raises(StorageError, match="not as it is now"):
            api.prepare(pictures, out=out, base="emoji")


def test_sheets_of_other_pictures_get_a_number(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "contact-sheet.png")
    (one, other) = sorted(pictures.iterdir())[:2]
    names = [api.prepare(seen, base="emoji").sheet for seen in (one, other, one)]
    assert names == ["contact-sheet-2.png", "contact-sheet-3.png", "contact-sheet-2.png"]
    assert (tmp_path / "contact-sheet.png").read_bytes() == PRECIOUS


def test_words_of_the_same_name_get_a_file_each(word: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    write_word(Concept("<cat>", {"clip_l": embedding_files.rows(2, 256)}), other)
    out = tmp_path / "words"
    names = [path.name for one in (word, other, word, other) for path in api.convert(one, out)]
    assert names == ["cat.safetensors", "cat-2.safetensors"] * 2
    assert formats.read(out / "cat.safetensors").vectors["clip_l"].shape == (1, 256)
    assert formats.read(out / "cat-2.safetensors").vectors["clip_l"].shape == (2, 256)
    api.convert(other, out, overwrite=True)
    assert formats.read(out / "cat.safetensors").vectors["clip_l"].shape == (2, 256)


def test_words_that_differ_in_case_get_a_file_each_where_case_makes_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows and macOS."""
    two, out = tmp_path / "two.safetensors", tmp_path / "words"
    save_file({token: embedding_files.rows(1, 768) for token in ("<Cat>", "<cat>")}, two)
    usual = os.path.lexists

    def lexists(path: Path) -> bool:
        beside = out.iterdir() if path.parent == out and out.is_dir() else ()
        return usual(path) or path.name.lower() in [one.name.lower() for one in beside]

    monkeypatch.setattr(os.path, "lexists", lexists)
    for overwrite in (False, True):
        names = [path.name for path in api.convert(two, out, overwrite=overwrite)]
        assert len({name.lower() for name in names}) == 2


def test_a_file_is_not_converted_onto_itself(word: Path) -> None:
    before = word.read_bytes()
    assert api.convert(word, word) == (word,)  # the same bytes
    with pytest.raises(StorageError, match="is there already"):
        api.convert(word, word, token="<dog>")
    assert word.read_bytes() == before
    api.convert(word, word, token="<dog>", overwrite=True)
    assert formats.read(word).token == "<dog>"


def test_drawing_again_without_a_name_keeps_earlier_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [run("generate", "a cat", "--sampler-steps", 1)[1].split() for _ in range(2)]
    assert names == [["picture.png"], ["picture-2.png"]]
    code, said, _ = run("generate", "a cat", "--sampler-steps", 1, "-n", 2)
    assert (code, said.split()) == (0, ["picture-3-1.png", "picture-3-2.png", "picture-3.png"])


@pytest.mark.parametrize(
    ("n", "at"), [(1, "picture.png"), (2, "picture-1.png"), (2, "picture.png")]
)
def test_drawing_without_a_name_keeps_what_others_draw_meanwhile(
    n: int, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other, ours = Image.new("RGB", (8, 8), "blue"), Image.new("RGB", (8, 8), "red")

    def draw(*_: object) -> list[Image.Image]:
        picture_output.write(other, Path(at), generate.MAKER)
        return [ours] * n

    monkeypatch.setattr(generate, "draw_pictures", draw)
    files = generate.draw_files("a cat", GenerateConfig(n=n), [], None, Silent())
    assert Path(at) not in files
    assert len(files) == (n if n == 1 else n + 1)
    assert {path.name for path in tmp_path.iterdir()} == {at, *map(str, files)}
    assert Image.open(at).getpixel((0, 0)) == (0, 0, 255)
    assert Image.open(files[0]).getpixel((0, 0)) == (255, 0, 0)


def test_a_full_disk_ends_a_drawing_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(generate, "draw_pictures", lambda *_: [Image.new("RGB", (8, 8))] * 2)
    write = outputs.write_new

    def once(path: Path, data: bytes, *, overwrite: bool) -> None:
        if any(tmp_path.iterdir()):
            raise StorageError("The disk is full.")
        write(path, data, overwrite=overwrite)

    monkeypatch.setattr(picture_output, "write_new", once)
    with pytest.raises(StorageError, match="full"):
        generate.draw_files("a cat", GenerateConfig(n=2), [], None, Silent())


def test_what_is_drawn_is_kept_when_the_next_picture_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, passes = DiffusersDrawing.draw, []

    def stop_at_the_second(*values: Any) -> Any:
        passes.append(1)
        if len(passes) > 1:
            raise KeyboardInterrupt
        return draw(*values)

    monkeypatch.setattr(DiffusersDrawing, "draw", stop_at_the_second)
    monkeypatch.setattr("pseudoword.models.generation.PICTURES_PER_PASS", 1)
    monkeypatch.setattr("pseudoword.models.generation.PIXELS_PER_PASS", 1)
    out = tmp_path / "a.png"
    assert run("generate", "a cat", "--sampler-steps", 1, "-n", 3, "--out", out)[0] == 130
    (kept,) = tmp_path.iterdir()
    assert kept.name == "a-1.png"
    assert "Seed" in Image.open(kept).info["parameters"]


def test_an_evaluation_replaces_only_one_of_the_same_word_and_pictures(
    word: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "evaluation"
    settings: dict[str, Any] = {"out": out, "n": 1, "sampler_steps": 1, "prompt": ["a [name]"]}
    api.evaluate(word, pictures, **settings)
    first = (out / "evaluation.json").read_bytes()
    api.evaluate(word, pictures, seed=5, **settings)
    second = (out / "evaluation.json").read_bytes()
    assert first != second
    other = formats.with_token(formats.read(word), "<dog>")
    with pytest.raises(StorageError, match=r"evaluation\.png.*are there already"):
        api.evaluate(other, pictures, **settings)
    assert (out / "evaluation.json").read_bytes() == second
