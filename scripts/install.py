"""Make `.venv` and put into it what `uv.lock` says. Needs nothing but Python 3.11 and its pip.

The locked torch is there for some Pythons. An older or newer one looks for one of those and lets
it go on; up to there, this file has to be read by Pythons since 3.6.

uv sees which GPU there is, of NVIDIA, AMD or Intel, and takes the build of torch for it; on Linux
without one, that for the CPU, which spares gigabytes. Set UV_TORCH_BACKEND (cpu, cu130, rocm7.2,
xpu ...) to choose. Where torch's own index cannot be reached, pip's settings choose.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if sys.platform == "win32" else "bin")
PYTHON = "python.exe" if sys.platform == "win32" else "python"
STAMP = VENV / "installed"
UV = "uv>=0.9,<1"
BACKEND = "UV_TORCH_BACKEND"
FROM_TORCH = re.compile(r"^(torch|triton|nvidia-|cuda-)")
"""Packages that pip brings along with torch, and only where that build of torch wants them."""

ELSEWHERE = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")
"""Settings of other programs and of pip that lead out of .venv."""

LOCKED = "not sysconfig.get_config_var('Py_GIL_DISABLED')"
"""Whether a Python has its global lock: for one without, safetensors would have to be compiled."""

ADVICE = (
    "If a package could not be downloaded, see that this machine reaches the network, and run the "
    "same command again. Behind a proxy, set HTTPS_PROXY; for an index of your own, PIP_INDEX_URL "
    "and UV_DEFAULT_INDEX."
)


def main() -> None:
    """Install, unless this very lock file has been installed already."""
    for name in ELSEWHERE:
        os.environ.pop(name, None)
    os.environ["PIP_USER"] = "0"
    wanted = fingerprint()
    minor = minor_of(BIN / PYTHON, having="pip")
    if minor and STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return
    if minor and minor not in fitting():
        sys.exit(
            f".venv is of Python 3.{minor}; pseudoword needs {needed()}. "
            "Delete the folder .venv, and run the same command again."
        )
    if not minor and minor_of(sys.executable, having="sys") not in fitting():
        leave_it_to_another()
    print("installing into .venv; the first time takes a few minutes", flush=True)
    try:
        STAMP.unlink(missing_ok=True)  # from now on nothing is sure, whatever interrupts
        if not minor:  # also where an earlier call was interrupted
            make_venv()
    except OSError as error:
        sys.exit(f".venv cannot be made: {error}. Delete .venv, and run the same command again.")
    run(BIN / PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", UV)
    install_torch()
    uv = BIN / "uv"
    export = [str(uv), "export", "-q", "--frozen", "--no-hashes", "--no-emit-project"]
    exported = subprocess.run(export, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if exported.returncode:
        sys.exit(f"failed: {' '.join(export)}")
    kept = [line for line in exported.stdout.splitlines() if not FROM_TORCH.match(line)]
    requirements = VENV / "requirements.txt"
    requirements.write_text("\n".join(kept), encoding="utf-8")
    run(
        uv,
        "pip",
        "install",
        "-q",
        "--compile-bytecode",
        "--python",
        BIN / PYTHON,
        "-r",
        requirements,
    )
    run(uv, "pip", "install", "-q", "--python", BIN / PYTHON, "--no-deps", "-e", ROOT)
    STAMP.write_text(wanted, encoding="utf-8")


def fitting() -> "list[int]":
    """The minor versions of Python that the locked torch is there for, from new to old."""
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    found = set(re.findall(r"/torch-[^/]*-cp3(\d+)-cp3\d+-", lock))
    return sorted(map(int, found), reverse=True)


def needed() -> str:
    """The Pythons that fit: `Python 3.11, 3.12 or 3.13`."""
    *most, last = [f"3.{minor}" for minor in reversed(fitting())]
    return f"Python {', '.join(most)} or {last}"


def leave_it_to_another() -> None:
    """Let a Python that fits do it, and end as it ended.

    It is looked for by names such as `python3.12`, and has to start and to have pip: some that a
    manager of versions puts there only say that they are not chosen.
    """
    mine = f"this is {sys.version.split()[0]}"
    for minor in fitting():
        other = shutil.which(f"python3.{minor}")
        if other and minor_of(other, having="ensurepip") == minor:
            print(f"{mine}, so {other} installs", flush=True)
            sys.exit(subprocess.call([other, str(Path(__file__).resolve())]))
    newest = f"3.{fitting()[0]}"
    name_it = f"make demo PYTHON=/where/it/is/python{newest}"
    if sys.platform == "win32":
        name_it = rf"py -{newest} scripts\install.py"
    sys.exit(f"pseudoword needs {needed()}; {mine}. If there is one elsewhere, name it: {name_it}")


def minor_of(python: object, having: str) -> int:
    """The minor version of a Python 3; 0 if it does not start, or lacks the module `having`.

    What a `sitecustomize` prints comes before.
    """
    say = f"import {having}, sys, sysconfig; print(int({LOCKED} and sys.version_info[1]))"
    try:
        said = subprocess.check_output([str(python), "-c", say], stderr=subprocess.DEVNULL)
        return int(said.split()[-1])
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError):
        return 0


def make_venv() -> None:
    """Make `.venv`, or what it lacks."""
    for link in BIN.glob("python*"):
        if not link.exists():  # to a Python that is gone; `venv` would leave it
            link.unlink()
    try:
        # As `python -m venv` does: a copy of some Pythons, such as those of macOS, does not start.
        venv.create(VENV, with_pip=True, symlinks=sys.platform != "win32")
    except subprocess.CalledProcessError:
        sys.exit(
            f"{sys.executable} cannot put pip into .venv. On Debian and Ubuntu: "
            f"apt-get install python3.{sys.version_info[1]}-venv"
        )


def install_torch() -> None:
    """Install the locked torch, for the GPU that is there."""
    found = re.search(
        r'name = "torch"\nversion = "([^"]+)"', (ROOT / "uv.lock").read_text(encoding="utf-8")
    )
    if found is None:
        sys.exit("uv.lock names no torch")
    torch = f"torch=={found[1]}"
    pip = [str(BIN / PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    uv = [str(BIN / "uv"), "pip", "install", "-q", "--python", str(BIN / PYTHON)]
    if BACKEND in os.environ:
        run(*uv, torch)  # it reads that itself
        return
    ways = [[*uv, "--torch-backend=auto", torch]]
    if sys.platform == "linux" and not shutil.which("nvidia-smi"):
        ways.insert(0, [*pip, f"{torch}+cpu"])  # an index of one's own may have it; PyPI has not
    for way in ways:
        if subprocess.run(way, check=False, capture_output=True).returncode == 0:
            return
    run(*pip, torch)


def fingerprint() -> str:
    """Changes when something has to be installed anew, also because the folder was moved."""
    files = [ROOT / "uv.lock", ROOT / "pyproject.toml", Path(__file__)]
    if "\udc80" <= max(str(ROOT)) <= "\udcff":  # nor could venv write it down
        sys.exit(
            f"the name of this folder, {str(ROOT)!a}, cannot be read in this locale. Set "
            "PYTHONUTF8=1, or move the folder to one whose name has plain letters only."
        )
    parts = [str(ROOT).encode(), *(f.read_bytes() for f in files)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def run(*command: object) -> None:
    """Run `command`; say which one failed, if it does, and what to do."""
    try:
        failed = subprocess.run([str(part) for part in command], check=False, cwd=ROOT).returncode
    except OSError as error:  # pip has put it elsewhere
        print(error, file=sys.stderr)
        failed = True
    if failed:
        sys.exit(f"failed: {' '.join(str(part) for part in command)}\n{ADVICE}")


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    main()
