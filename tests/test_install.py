"""scripts/install.py where a machine lacks something, or an earlier call was interrupted."""

import importlib.util
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "install.py"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, for a folder of its own."""
    spec = importlib.util.spec_from_file_location("install", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "BIN", tmp_path / ".venv" / module.BIN.name)
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "installed")
    return module


def test_a_folder_without_pip_is_mended(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def began(python: Path, *_: object) -> None:
        subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)
        raise SystemExit("installing begins")

    monkeypatch.setattr(install, "run", began)
    venv.create(install.VENV, with_pip=False)  # as after an interruption
    install.STAMP.write_text("of another lock file")
    with pytest.raises(SystemExit, match="installing begins"):
        install.main()
    assert not install.STAMP.exists(), "going back to that lock file would install nothing"


def test_without_a_network_it_is_told_what_to_do(
    install: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    venv.create(install.VENV, with_pip=False)
    monkeypatch.setattr(install, "has_pip", lambda: True)  # making one with pip takes long
    monkeypatch.setattr(install, "ROOT", install.VENV.parent)
    monkeypatch.setattr(install, "fingerprint", lambda: "new")
    with pytest.raises(
        SystemExit, match=r"failed: .* pip install .*\n.* HTTPS_PROXY.* PIP_INDEX_URL"
    ):
        install.main()
    assert "No module named pip" in capfd.readouterr().err


def test_a_python_without_ensurepip_is_told(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(venv, "create", fails)
    with pytest.raises(SystemExit, match="apt-get install python3-venv"):
        install.main()
