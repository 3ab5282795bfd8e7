"""scripts/install.py where a machine lacks something, or an earlier call was interrupted."""

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "install.py"


def script() -> Any:
    spec = importlib.util.spec_from_file_location("install", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, for a folder of its own."""
    module = script()
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


def test_python_is_linked_as_venv_itself_does(install: Any) -> None:
    """A copy of a Python that finds its library beside itself, as on macOS, does not start."""
    made: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(venv, "create", lambda _folder, **how: made.append(how))
        install.make_venv()
    assert made == [{"with_pip": True, "symlinks": os.name != "nt"}]


def test_on_windows_a_whole_folder_is_known_by_its_python(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    on_windows = script()
    assert (on_windows.BIN.name, on_windows.PYTHON) == ("Scripts", "python.exe")
    monkeypatch.setattr(install, "PYTHON", on_windows.PYTHON)
    assert not install.has_pip()
    (install.BIN / "python.exe").parent.mkdir(parents=True)
    (install.BIN / "python.exe").symlink_to(sys.executable)
    assert install.has_pip()


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


@pytest.mark.parametrize(
    ("has_nvidia", "tried"),
    [
        (False, ["+cpu", "--torch-backend=auto", ""]),
        (True, ["--torch-backend=auto", ""]),
    ],
)
def test_torch_is_the_one_for_the_gpu_that_is_there(
    has_nvidia: bool,
    tried: list[str],
    install: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where its index cannot be reached, pip's settings choose."""
    commands: list[list[str]] = []

    def fails(command: list[str], **_: object) -> Any:
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode=len(commands) < len(tried))

    monkeypatch.setattr(install.subprocess, "run", fails)
    monkeypatch.setattr(install.sys, "platform", "linux")
    monkeypatch.setattr(install.shutil, "which", lambda name: name if has_nvidia else None)
    monkeypatch.delenv("UV_TORCH_BACKEND", raising=False)
    install.install_torch()
    assert len(commands) == len(tried)
    for command, part in zip(commands, tried, strict=True):
        assert any(part in argument for argument in command)
        assert command[-1].startswith("torch==")


def test_another_torch_than_asked_for_is_not_installed(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def fails(command: list[str], **_: object) -> Any:
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode=1)

    monkeypatch.setattr(install.subprocess, "run", fails)
    monkeypatch.setenv("UV_TORCH_BACKEND", "rocm7.2")
    with pytest.raises(SystemExit, match=r"failed: .*uv pip install"):
        install.install_torch()
    assert len(commands) == 1
