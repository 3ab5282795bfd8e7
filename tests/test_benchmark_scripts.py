"""The scripts in benchmarks/ start as their first lines say."""

from importlib import import_module
from pathlib import Path

import pytest
from forked import Process

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
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
