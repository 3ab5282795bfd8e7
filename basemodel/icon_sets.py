"""The icon sets as SVG texts: packages are fetched, and their licences are checked."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from basemodel.world import Style, icons_of

_ALLOWED_LICENCES = {"Apache-2.0", "MIT", "CC-BY-3.0", "CC-BY-4.0"}


def read_icons(style: Style, folder: Path) -> dict[str, str]:
    """Icon name -> SVG text. The set is fetched to `folder` if it is not there yet."""
    if style.word != "clipart":
        return svgs_of_package(fetch_package(style, folder))
    drawings = _fetch_clip_art(style, folder)
    return {
        icon: (drawings / f"{icon}.svg").read_text(encoding="utf-8", errors="ignore")
        for icon in icons_of(style)
    }


def fetch_package(style: Style, folder: Path) -> Path:
    """The unpacked npm package of a set; it is fetched if it is not there yet.

    Raises:
        RuntimeError: npm is missing, or the package has another licence than expected.
    """
    target = folder / f"{style.package}-{style.version}"
    if not (target / "icons.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("npm is needed to fetch the icon packages; install Node.js first")
        package = f"@iconify-json/{style.package}@{style.version}"
        done = subprocess.run(
            [npm, "pack", package, "--silent", "--pack-destination", str(folder)],
            check=True,
            capture_output=True,
            text=True,
        )
        archive = folder / done.stdout.strip().splitlines()[-1]
        part = folder / f"{target.name}.part"
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
        (part / "package").rename(target)
        shutil.rmtree(part)
        archive.unlink()
    info = json.loads((target / "info.json").read_text(encoding="utf-8"))
    licence = info["license"]["spdx"]
    if licence not in _ALLOWED_LICENCES or licence != style.licence:
        raise RuntimeError(
            f"{style.package} {style.version} says its licence is {licence!r}, but "
            f"{style.licence!r} is expected; it is not used"
        )
    return target


def _fetch_clip_art(style: Style, folder: Path) -> Path:
    """The drawings of Debian's package, fetched if they are not there yet."""
    target = folder / f"{style.package}-{style.version}"
    if not target.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise RuntimeError(
                f"Debian's {style.package} {style.version} is needed for its clip art: unpack it "
                f"to {target}, or run this on a system that has apt-get"
            )
        folder.mkdir(parents=True, exist_ok=True)
        package = f"{style.package}={style.version}"
        subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
        (archive,) = folder.glob(f"{style.package}_*.deb")
        part = target.with_name(f"{target.name}.part")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(part)], check=True)
        part.rename(target)
        archive.unlink()
    return target / "usr" / "share" / "openclipart" / "svg"


def svgs_of_package(folder: Path) -> dict[str, str]:
    """Icon name -> SVG text of an Iconify package, with aliases that only rename an icon."""
    data: dict[str, Any] = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    side = data.get("width", 16)

    def svg(icon: dict[str, Any]) -> str:
        width, height = icon.get("width", side), icon.get("height", data.get("height", side))
        box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" '
            f'xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">'
            f"{icon['body']}</svg>"
        )

    svgs = {name: svg(icon) for name, icon in data["icons"].items()}
    for name, alias in data.get("aliases", {}).items():
        is_changed = any(key in alias for key in ("rotate", "hFlip", "vFlip"))
        if not is_changed and alias["parent"] in svgs:
            svgs.setdefault(name, svgs[alias["parent"]])
    return svgs
