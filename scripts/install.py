"""Make `.venv` and put into it what `uv.lock` says. Needs nothing but Python 3.11 and its pip.

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

ADVICE = (
    "If a package could not be downloaded, see that this machine reaches the network, and run the "
    "same command again. Behind a proxy, set HTTPS_PROXY; for an index of your own, PIP_INDEX_URL "
    "and UV_DEFAULT_INDEX."
)


def main() -> None:
    """Install, unless this very lock file has been installed already."""
    if sys.version_info < (3, 11):  # noqa: UP036 (whoever runs this may have an older one)
        sys.exit(f"pseudoword needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return
    STAMP.unlink(missing_ok=True)  # from now on nothing is sure, whatever interrupts
    print("installing into .venv; the first time takes a few minutes", flush=True)
    if not has_pip():  # also where an earlier call was interrupted
        make_venv()
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


def has_pip() -> bool:
    """Whether `.venv` is there, and whole enough to install into."""
    python = BIN / PYTHON
    asked = [str(python), "-m", "pip", "--version"]
    return (
        python.exists() and not subprocess.run(asked, check=False, capture_output=True).returncode
    )


def make_venv() -> None:
    """Make `.venv`, or what it lacks."""
    try:
        # As `python -m venv` does: a copy of some Pythons, such as those of macOS, does not start.
        venv.create(VENV, with_pip=True, symlinks=sys.platform != "win32")
    except subprocess.CalledProcessError:
        sys.exit(
            f"{sys.executable} cannot put pip into .venv. On Debian and Ubuntu: "
            "apt-get install python3-venv"
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
    """Changes when something has to be installed anew."""
    files = [ROOT / "uv.lock", ROOT / "pyproject.toml", Path(__file__)]
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def run(*command: object) -> None:
    """Run `command`; say which one failed, if it does, and what to do."""
    if subprocess.run([str(part) for part in command], check=False, cwd=ROOT).returncode:
        sys.exit(f"failed: {' '.join(str(part) for part in command)}\n{ADVICE}")


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    main()
