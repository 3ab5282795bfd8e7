"""The scripts in benchmarks/ and scripts/ start as their first lines say."""

import runpy
from importlib import import_module
from pathlib import Path

import pytest
from forked import Process

from benchmarks import shared
from pseudoword.locks import LOCK

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = FOLDER.parent / "scripts"
SHARING = sorted(path for path in FOLDER.glob("*.py") if "def main" in path.read_text())


@pytest.mark.parametrize("script", SHARING, ids=lambda path: path.name)
def test_a_script_finds_the_others(script: Path) -> None:
    started = Process("--help", module=script)
    assert started.wait() == 0, started.stderr
    assert "usage" in started.stdout


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("pareto", ["--things", "1"]),
        ("pareto", ["--things", "41"]),
        ("ceiling", ["--words", "1"]),
        ("together", ["--pairs", "0"]),
        ("together", ["--pairs", "21"]),
        ("auto", ["--concepts", "1"]),
        ("ceiling", ["--words", "7"]),
        ("ceiling", ["--steps", "0"]),
        ("fleet", ["--words", "0"]),
        ("full_size", ["--steps", "0"]),
        ("kills", ["--kills", "0"]),
        ("pack", ["--words", "41"]),
        ("quality", ["--peer-steps", "49"]),
        ("startup", ["--times", "0"]),
        ("timestep_sampling", ["--draws", "1"]),
        ("fleet", ["--in", "nowhere"]),
        ("mutations", ["--only", "NoReader"]),
        ("quality", ["--peer-script", "no-such-script.py"]),
        ("startup", ["--peer-script", "no-such-script.py"]),
        ("step", ["--peer-script", "no-such-script.py"]),
    ],
)
def test_what_cannot_be_measured_is_told_before_the_work(
    script: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [script, *arguments])
    with pytest.raises(SystemExit):
        import_module(f"benchmarks.{script}").main()
    assert f"error: argument {arguments[0]}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "script",
    [FOLDER / "probes.py", *sorted(SCRIPTS.glob("*.py"))],
    ids=lambda path: path.name,
)
def test_who_asks_for_help_gets_it_and_nothing_is_begun(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures of the documentation, and words of the package, would be replaced."""
    monkeypatch.setattr("sys.argv", [script.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert "usage" in capsys.readouterr().out


KEPT = sorted(path.stem for path in FOLDER.glob("*.py") if "with shared.kept(" in path.read_text())


def test_all_benchmarks_that_keep_something_hold_their_folder() -> None:
    keeping = {path.stem for path in FOLDER.glob("*.py") if '"--out"' in path.read_text()}
    assert keeping - {*KEPT} == {"kills"}  # whose folder has to be empty


@pytest.mark.parametrize("script", [*KEPT, "kills"])
def test_a_folder_of_somebody_else_is_left_as_it_is(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They replace, and remove, what an earlier call left."""
    theirs = tmp_path / "work" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    monkeypatch.setattr("sys.argv", [script, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        import_module(f"benchmarks.{script}").main()
    assert "another folder with --out" in f"{ended.value}{capsys.readouterr().err}"
    assert theirs.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} <= {"work", LOCK}


def test_a_folder_is_one_calls_and_of_the_same_settings(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with shared.kept(out, "some", steps=3):
        (out / "result.json").write_text("1")
        with pytest.raises(SystemExit, match="in use by another run"), shared.kept(out, "some"):
            pytest.fail("two would write into one folder")
    with shared.kept(out, "some", steps=3):
        assert (out / "result.json").exists(), "it goes on"
    with (
        pytest.raises(SystemExit, match=r"holds results with other settings \(steps\)"),
        shared.kept(out, "some", steps=4),
    ):
        pytest.fail("results of other steps would be taken for those of four")
    with pytest.raises(SystemExit, match="of another benchmark"), shared.kept(out, "other"):
        pytest.fail("files of another benchmark may have the same names")


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(SystemExit, match="out"), shared.kept(tmp_path / "out", "some"):
        pytest.fail("what is found would be lost")
