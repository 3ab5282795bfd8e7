"""The scripts in benchmarks/ start as their first lines say."""

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
