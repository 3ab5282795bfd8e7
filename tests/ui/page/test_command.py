"""`pseudoword ui` says in a sentence why it cannot open the page."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pseudoword.cli.app import app


def ui(*arguments: object) -> str:
    """What the command says when it refuses."""
    done = CliRunner().invoke(app, ["ui", *map(str, arguments)])
    assert done.exit_code == 2
    return done.output


def test_without_gradio_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert "the page needs gradio: pip install 'pseudoword[ui]'" in ui("--workspace", tmp_path)


def test_another_address_needs_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PSEUDOWORD_PASSWORD", raising=False)
    assert "give a --password, too" in ui("--host", "0.0.0.0", "--workspace", tmp_path / "w")
    assert "give a --password, too" in ui("--share", "--workspace", tmp_path / "w")
    assert not (tmp_path / "w").exists()
