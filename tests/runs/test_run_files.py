"""Files of a run with odd contents are explained; odd paths and encodings work."""

import locale
import pathlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import everything, learn

from pseudoword import train
from pseudoword.config import TrainConfig
from pseudoword.errors import PseudowordError, StorageError
from pseudoword.progress import Silent
from pseudoword.runs.folder import RunFolder

ODD: list[tuple[str, bytes]] = [
    *(
        ("log.jsonl", line)
        for line in (
            b"[]",
            b"5",
            b"null",
            b'"step"',
            b"{}",
            b'{"loss": 1}',
            b'{"step": "1"}',
            b'{"step": 1.5}',
            b'{"step": -1}',
            b'{"step": true}',
            b'{"step": null}',
            b'{"step": 1, "loss": "x"}',
            b'{"step": 1, "loss": [1]}',
            b'{"step": 1, "loss": true}',
            b'{"step": 1%s}' % (b"0" * 400),
            b'{"step": 1, "loss": 1%s}' % (b"0" * 400),
        )
    ),
    *(
        ("chosen.json", text)
        for text in (
            b"[]",
            b"5",
            b"null",
            b"{",
            b"[" * 100_000,
            b"\xff\xfe",
            b'{"other": 1}',
            b'{"density": 5}',
            b'{"density": [1]}',
            b'{"density": ["x"]}',
            b'{"density": [2, 1, 1, 1, 1, 1, 1, 1, 1, 1]}',
            b'{"density": [NaN, 1, 1, 1, 1, 1, 1, 1, 1, 1]}',
            b'{"density": [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]}',
            b'{"density": {"a": 1}}',
            b'{"lr": 5}',
            b'{"lr": "x"}',
            b'{"lr": "-1"}',
            b'{"lr": "nan"}',
            b'{"tried": [[1]]}',
        )
    ),
    *(("changes.json", text) for text in (b"5", b"{}", b"[5]", b'"x"', b"{", b"[[]]")),
    *(
        ("config.toml", text)
        for text in (
            b"",
            b"x = ",
            b"\xff\xfe\x00",
            b"steps = 5",
            b"pictures = 5",
            b"a = " + b"[" * 5000,
            b"steps = 1" + b"0" * 5000,
            b"token = 1979-05-27",
        )
    ),
]


@pytest.fixture(scope="module")
def begun(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The pictures and the folder of a run that can resume."""
    tmp = tmp_path_factory.mktemp("begun")
    pictures = tmp / "pictures"
    pictures.mkdir()
    Image.new("RGB", (32, 32), "red").save(pictures / "red.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PSEUDOWORD_CACHE", str(tmp / "cache"))
        return pictures, learn(base, pictures, tmp / "run", steps=1).folder


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(("name", "text"), ODD)
def test_files_with_other_contents_are_explained_in_one_sentence(
    name: str, text: bytes, ours: bool, begun: tuple[Path, Path], tmp_path: Path
) -> None:
    _, whole = begun
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    (out / name).write_bytes(text + b"\n")
    folder = RunFolder(out)
    if ours:
        folder.files.register(name)
    before = everything(out)
    config = TrainConfig.gather(whole / "config.toml", extend=1, out=out)
    with pytest.raises(PseudowordError) as notes:  # noqa: PT012 as `learn` goes through them
        folder.check(config)
        folder.recover()
        folder.is_finished(config, allow_changes=True)
        folder.reopen(config)
        folder.read_chosen()
        _ = folder.changes
        folder.begin(config, 1)
    assert name in str(notes.value)
    left = everything(out)
    assert before[str(out / name)] == left[str(out / name)]


def test_a_cut_off_line_of_the_log_is_left_out(
    begun: tuple[Path, Path], base: Path, tmp_path: Path
) -> None:
    pictures, whole = begun
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    with (out / "log.jsonl").open("ab") as log:
        log.write(b'{"step": 2, "lo')
    done = learn(base, pictures, out, steps=1, extend=1)
    assert [entry["step"] for entry in RunFolder(done.folder).read_log()] == [0, 1, 2]


def test_settings_are_read_and_written_in_utf_8_whatever_the_locale(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def legacy(self: Path, encoding: str | None = None, errors: str | None = None) -> str:
        with self.open(encoding=encoding or "cp1252", errors=errors) as file:
            return file.read()

    monkeypatch.setattr(pathlib.Path, "read_text", legacy)
    monkeypatch.setattr(locale, "getpreferredencoding", lambda *_: "cp1252")
    there = pictures.rename(tmp_path / "Bilder – 猫")
    options: dict[str, Any] = {"base": str(base), "steps": 1, "preview": (), "batch": 2}
    first = train(there, "<猫>", init="cat", out=tmp_path / "run", **options)
    assert "<猫>".encode() in (first.folder / "config.toml").read_bytes()
    again = train(there, "<猫>", init="cat", out=tmp_path / "run", **options)
    assert (again.seconds, again.concept.token) == (0, "<猫>")


def test_a_run_on_a_model_in_the_current_folder_goes_on_from_everywhere(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").symlink_to(base, target_is_directory=True)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {"init": "cat", "batch": 2, "preview": (), "out": tmp_path / "run"}
    first = train(pictures, "<cat>", base="model", steps=1, **given)
    monkeypatch.chdir(tmp_path / "sub")
    settings = tmp_path / "run" / "config.toml"
    assert train(config=settings, out=tmp_path / "run").folder == first.folder
    written = TrainConfig.gather(settings).base
    older = settings.read_text().replace(written, "model")  # as it was written before
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path / "run")
    folder.files.write("config.toml", older.encode())
    assert train(pictures, "<cat>", base="model", steps=1, extend=1, **given).seconds > 0


def test_a_run_whose_folder_is_moved_away_says_so_and_goes_on_where_it_is_back(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    out, away = tmp_path / "run", tmp_path / "away"

    class Moves(Silent):
        def advance(self, done: int, total: int, detail: str = "") -> None:
            if detail.startswith("loss") and done == 2:
                out.rename(away)

    settings: dict[str, Any] = {"steps": 4, "checkpoint_every": 2}
    with pytest.raises(StorageError, match=r"log\.jsonl: .*Its folder is not there.*Move it back"):
        learn(base, pictures, out, progress=Moves(), **settings)
    assert not out.exists(), "nothing is begun anew in its place"
    away.rename(out)
    done = learn(base, pictures, out, **settings)
    assert [entry["step"] for entry in RunFolder(out).read_log()] == [0, 1, 2, 3, 4]
    assert done.concept.provenance["steps"] == "4"
