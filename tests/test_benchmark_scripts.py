"""The scripts in benchmarks/ and scripts/ start as their first lines say."""

import runpy
from importlib import import_module
from pathlib import Path

import pytest
from forked import Process

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = FOLDER.parent / "scripts"
SHARING = sorted(path for path in FOLDER.glob("*.py") if "from benchmarks" in path.read_text())


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
        ("auto", ["--concepts", "1"]),
    ],
)
def test_too_few_or_too_many_are_told_before_the_work(
    script: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [script, *arguments])
    with pytest.raises(SystemExit):
        import_module(f"benchmarks.{script}").main()
    assert f"error: {arguments[0]}: " in capsys.readouterr().err


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
