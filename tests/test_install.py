"""scripts/install.py where a machine lacks something, or an earlier call was interrupted."""

import ast
import importlib.util
import os
import shutil
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
    for name in (*module.ELSEWHERE, "PIP_USER"):
        monkeypatch.setenv(name, "")  # `main` changes them, for this process
    return module


def stop(*_: object) -> None:
    raise SystemExit("installing begins")


def test_a_folder_without_pip_is_mended(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def began(python: Path, *_: object) -> None:
        subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)
        stop()

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
    assert not install.minor_of(install.BIN / install.PYTHON, having="sys")
    (install.BIN / "python.exe").parent.mkdir(parents=True)
    (install.BIN / "python.exe").symlink_to(sys.executable)
    assert install.minor_of(install.BIN / install.PYTHON, having="sys") == sys.version_info[1]


def test_without_a_network_it_is_told_what_to_do(
    install: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    venv.create(install.VENV, with_pip=False)
    # making one with pip takes long
    monkeypatch.setattr(install, "minor_of", lambda *_, **__: sys.version_info[1])
    monkeypatch.setattr(install, "ROOT", install.VENV.parent)
    monkeypatch.setattr(install, "fingerprint", lambda: "new")
    monkeypatch.setattr(install, "fitting", lambda: [sys.version_info[1]])
    with pytest.raises(
        SystemExit, match=r"failed: .* pip install .*\n.* HTTPS_PROXY.* PIP_INDEX_URL"
    ):
        install.main()
    assert "No module named pip" in capfd.readouterr().err


def test_a_python_without_ensurepip_is_told(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(venv, "create", fails)
    package = rf"python3\.{sys.version_info[1]}-venv"
    with pytest.raises(SystemExit, match=f"apt-get install {package}"):
        install.main()


@pytest.mark.parametrize("broken", ["a file", "a link to nowhere", "a folder that is a file's"])
def test_what_cannot_become_the_folder_is_told(
    broken: str, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken == "a file":
        install.VENV.touch()
    elif broken == "a link to nowhere":
        install.VENV.symlink_to(tmp_path / "nowhere" / "at all")
    else:
        install.VENV.mkdir()
        (install.VENV / "pyvenv.cfg").mkdir()
    monkeypatch.setattr(install, "run", stop)
    with pytest.raises(SystemExit, match=r"\.venv cannot be made: .*Delete \.venv, and run"):
        install.main()


def test_what_a_python_prints_as_it_starts_is_passed_over(install: Any, tmp_path: Path) -> None:
    python_named(tmp_path / "others", "loud", "echo hello; echo 12")
    assert install.minor_of(tmp_path / "others" / "loud", having="sys") == 12
    python_named(tmp_path / "others", "odd", "echo hello")
    assert install.minor_of(tmp_path / "others" / "odd", having="sys") == 0


def test_settings_that_lead_out_of_the_folder_are_left_out(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without make, which leaves them out too: pip would install elsewhere, and uv be missing."""
    monkeypatch.setattr(install, "minor_of", lambda *_, **__: install.fitting()[0])
    monkeypatch.setattr(install, "run", stop)
    install.VENV.mkdir()
    with pytest.raises(SystemExit, match="installing begins"):
        install.main()
    assert not set(install.ELSEWHERE) & {*os.environ}
    assert os.environ["PIP_USER"] == "0"


def test_a_command_that_is_not_there_is_told(install: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"failed: .*no-uv .*\n.*run the same command again"):
        install.run(tmp_path / "no-uv", "pip")


def test_a_folder_whose_name_the_locale_cannot_read_is_told(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "ROOT", tmp_path / os.fsdecode(b"\xfc"))
    with pytest.raises(
        SystemExit, match=r"\\udcfc', cannot be read in this locale. Set PYTHONUTF8"
    ):
        install.main()


def test_a_python_that_is_gone_is_replaced(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a system takes one away for a newer one: links in the folder lead nowhere."""
    create = venv.create
    create(install.VENV, with_pip=False, symlinks=True)
    install.STAMP.write_text(install.fingerprint())
    for link in install.BIN.glob("python*"):
        link.unlink()
        link.symlink_to("/where/no/python/is")
    monkeypatch.setattr(venv, "create", lambda folder, **_: create(folder, symlinks=True))
    monkeypatch.setattr(install, "run", stop)
    with pytest.raises(SystemExit, match="installing begins"):
        install.main()
    subprocess.run([install.BIN / install.PYTHON, "-c", ""], check=True)


def test_a_folder_that_was_moved_is_installed_anew(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commands name the Python at the place where it was."""
    monkeypatch.setattr(install, "minor_of", lambda *_, **__: install.fitting()[0])
    monkeypatch.setattr(install, "run", stop)
    for name in ("uv.lock", "pyproject.toml"):
        shutil.copy(install.ROOT / name, tmp_path)
    install.VENV.mkdir()
    install.STAMP.write_text(install.fingerprint())
    install.main()  # nothing to do
    monkeypatch.setattr(install, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="installing begins"):
        install.main()


def python_named(folder: Path, name: str, does: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def too_new(install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where the Python that runs the script has no torch; others are in the folder `others`."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "others" / "mine"))
    monkeypatch.setenv("PATH", str(tmp_path / "others"))
    python_named(tmp_path / "others", "mine", "echo 99")
    return install


def test_a_python_without_torch_leaves_it_to_another(
    too_new: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for minor in too_new.fitting():
        # those of pyenv that are not chosen
        python_named(tmp_path / "others", f"python3.{minor}", "exit 127")
    python_named(
        tmp_path / "others",
        f"python3.{too_new.fitting()[1]}",
        f"if [ $1 = -c ]; then echo {too_new.fitting()[1]}; else echo went on with $1; exit 7; fi",
    )
    with pytest.raises(SystemExit) as ended:
        too_new.main()
    assert ended.value.code == 7
    said = capfd.readouterr().out
    assert f"python3.{too_new.fitting()[1]} installs" in said
    assert f"went on with {SCRIPT}" in said
    assert not too_new.VENV.exists()


def test_where_no_python_has_torch_it_is_told_which_would(too_new: Any, tmp_path: Path) -> None:
    python_named(tmp_path / "others", f"python3.{too_new.fitting()[0]}", "echo 0")  # without a lock
    with pytest.raises(
        SystemExit, match=r"needs Python 3\.11, 3\.12, .* or 3\.\d+; .* PYTHON=/\S+/python3\.1"
    ):
        too_new.main()
    assert not too_new.VENV.exists()


def test_a_folder_of_a_python_without_torch_is_told(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "minor_of", lambda *_, **__: 99)
    with pytest.raises(SystemExit, match=r"\.venv is of Python 3\.99; .* Delete the folder"):
        install.main()


def test_this_python_is_one_of_those_that_fit(install: Any) -> None:
    minor = install.minor_of(sys.executable, having="sys")
    assert minor in install.fitting()
    assert minor == sys.version_info[1]
    assert install.minor_of(sys.executable, having="no_such_module") == 0


def test_older_pythons_can_read_the_script() -> None:
    """They say what is needed, or find another one."""
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 6))


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
