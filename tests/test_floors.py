"""`make check` fails when a file imports from a floor above its own, or in a circle."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINTER = Path(sys.executable).with_name("lint-imports")


def lint(source: Path) -> tuple[int, str]:
    """Exit code and output of the linter on the package in `source`."""
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(LINTER), "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the package, without its bundled files."""
    unused = shutil.ignore_patterns("bundled", "__pycache__")
    shutil.copytree(ROOT / "src" / "pseudoword", tmp_path / "pseudoword", ignore=unused)
    return tmp_path


def test_the_tree_keeps_its_floors(source: Path) -> None:
    code, output = lint(source)
    assert code == 0, output


def add_import(source: Path, file: str, imports: str) -> None:
    path = source / "pseudoword" / file
    before = path.read_text() if path.exists() else ""
    path.write_text(f"{before}\n\ndef late() -> None:\n    import {imports}\n")


UPWARDS = {
    "errors.py": "pseudoword.config",
    "config/rates.py": "pseudoword.training.loss",
    "formats/keys.py": "pseudoword.models.family",
    "methods/classic.py": "pseudoword.models.families.sd",
    "models/reading/injection.py": "pseudoword.methods.classic",
    "report/charts.py": "pseudoword.training.loop",
    "training/loop.py": "pseudoword.runs.folder",
    "commands/push.py": "pseudoword.commands.gallery",
    "cli/console.py": "pseudoword.formats",
    "notebook.py": "pseudoword.report",
}


def test_imports_that_go_the_wrong_way_are_found(source: Path) -> None:
    for file, imports in UPWARDS.items():
        add_import(source, file, imports)
    code, output = lint(source)
    assert code == 1, output
    for file, imports in UPWARDS.items():
        name = file.removesuffix(".py").replace("/", ".")
        assert f"pseudoword.{name} -> {imports} (" in output, output


@pytest.mark.parametrize(
    ("file", "imports"),
    [("data/masks.py", "pseudoword.data.latents"), ("a_file_on_no_floor.py", "os")],
)
def test_a_circle_and_a_file_on_no_floor_are_found(source: Path, file: str, imports: str) -> None:
    add_import(source, file, imports)
    code, output = lint(source)
    assert code == 1, output
    assert "BROKEN" in output or "not listed" in output
