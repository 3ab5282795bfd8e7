"""The scripts in benchmarks/ start as their first lines say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
SHARING = sorted(path for path in FOLDER.glob("*.py") if "from benchmarks" in path.read_text())


@pytest.mark.parametrize("script", SHARING, ids=lambda path: path.name)
def test_a_script_finds_the_others(script: Path, tmp_path: Path) -> None:
    told = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    source = FOLDER.parent / "src"
    started = subprocess.run(
        [sys.executable, str(script), "--help"],
        cwd=tmp_path,
        env={**told, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
    )
    assert started.returncode == 0, started.stderr
    assert "usage" in started.stdout
