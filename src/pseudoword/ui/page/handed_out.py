"""Files that the browser fetches: written where Gradio serves from, under names nobody guesses."""

import contextlib
import secrets
import shutil
import time
from pathlib import Path

from gradio.utils import get_upload_folder

KEPT_S = 6 * 3600
"""A file is for now: who wants it later asks for it again."""


def hand_out(data: bytes, name: str) -> str:
    """Write `data` for the browser to fetch as `name`, the name of a file; its path."""
    folder = Path(get_upload_folder()) / "out"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(folder)
    place = folder / secrets.token_hex(16)
    place.mkdir(mode=0o700)
    path = place / name
    path.write_bytes(data)
    return str(path)


def _sweep(folder: Path) -> None:
    for place in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - place.stat().st_mtime > KEPT_S:
                shutil.rmtree(place, ignore_errors=True)
