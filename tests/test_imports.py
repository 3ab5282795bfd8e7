"""What a process does not import that only runs a command."""

import importlib
import importlib.util
from pathlib import Path

import pytest

from pseudoword import imports


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether an installed extra was found, for each time that diffusers was imported."""
    (tmp_path / "an_extra.py").write_text("here = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "EXTRAS", ("an_extra",))
    monkeypatch.setattr(imports, "_spares", False)
    seen: list[bool] = []

    def look(name: str) -> None:
        assert name == "diffusers"
        seen.append(importlib.util.find_spec("an_extra") is not None)

    monkeypatch.setattr(importlib, "import_module", look)
    return seen


def test_diffusers_finds_no_extra_in_a_process_that_only_runs_a_command(found: list[bool]) -> None:
    imports.spare()
    imports.import_diffusers()
    assert found == [False]


def test_an_extra_can_be_imported_afterwards(found: list[bool]) -> None:
    imports.spare()
    imports.import_diffusers()
    assert __import__("an_extra").here


def test_in_other_programs_diffusers_finds_everything(found: list[bool]) -> None:
    imports.import_diffusers()
    assert found == [True]
