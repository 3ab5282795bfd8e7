"""`pseudoword ui` says in a sentence why it cannot open the page."""

import mimetypes
import socket
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
    assert 'the page needs gradio: pip install "pseudoword[ui]"' in ui("--workspace", tmp_path)


def test_another_address_needs_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PSEUDOWORD_PASSWORD", raising=False)
    assert "give a --password, too" in ui("--host", "0.0.0.0", "--workspace", tmp_path / "w")
    assert "give a --password, too" in ui("--share", "--workspace", tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_where_it_cannot_answer_the_host_or_the_port_is_named(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio")
    to = ("--workspace", tmp_path / "w", "--password", "long")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"--port {port} is taken" in " ".join(ui("--port", port, *to).split())
        assert "--host no such host is no address that is" in ui("--host", "no such host", *to)
        assert "--host 192.0.2.1 is no address of this" in ui("--host", "192.0.2.1", *to)
    assert not (tmp_path / "w").exists()


def test_scripts_are_scripts_whatever_the_machine_calls_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio")
    from pseudoword.ui.page.app import know_types

    mimetypes.init()
    monkeypatch.setattr(mimetypes, "_db", mimetypes.MimeTypes())
    mimetypes.add_type("text/plain", ".js")  # as the registry of Windows may have it
    know_types()
    assert mimetypes.guess_type("page.js")[0] == "text/javascript"
    assert mimetypes.guess_type("page.css")[0] == "text/css"
