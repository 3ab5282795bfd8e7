"""Make the bundled base model from artwork. Run it again after an interruption; it continues."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from basemodel.artifacts import Artifacts
from basemodel.recipe import STAGES, run
from basemodel.settings import PRESETS
from basemodel.threads import keep_freed_memory
from pseudoword.errors import RunFolderError
from pseudoword.files import write_whole
from pseudoword.locks import lock_folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m basemodel", description=__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu")
    parser.add_argument(
        "--only", choices=list(STAGES), action="append", help="only this stage (may be repeated)"
    )
    parser.add_argument(
        "--minutes", type=float, help="stop after so many minutes; run again to continue"
    )
    parser.add_argument("--unet-steps", type=int, help="train the U-Net up to this step")
    parser.add_argument("--work", type=Path, help="folder for files that may be deleted")
    parser.add_argument("--bundled", type=Path, help="folder for the bundle")
    parser.add_argument(
        "--from-bundle",
        action="store_true",
        help="start from the shipped weights: only the U-Net is trained further",
    )
    parser.add_argument(
        "--as-is",
        action="store_true",
        help="train nothing: use every stage's last checkpoint (to export during a run)",
    )
    return parser.parse_args()


def main() -> int:
    """Run the wanted stages in order; exit code 0 if all are complete, 3 if time ran out."""
    arguments = _arguments()
    settings = PRESETS[arguments.preset]
    if arguments.work:
        settings = replace(settings, work=arguments.work)
    if arguments.bundled:
        settings = replace(settings, bundled=arguments.bundled)
    if arguments.unet_steps:
        settings = replace(settings, unet=replace(settings.unet, steps=arguments.unet_steps))
    keep_freed_memory()
    torch.set_num_threads(settings.threads)
    deadline = time.time() + 60 * arguments.minutes if arguments.minutes else float("inf")
    artifacts = Artifacts(settings, deadline, arguments.from_bundle, arguments.as_is)
    with _held(settings.work, arguments.preset, alone=not arguments.as_is):
        return 0 if run(artifacts, arguments.only or list(STAGES)) else 3


@contextmanager
def _held(work: Path, preset: str, *, alone: bool) -> Iterator[None]:
    """Hold the folder for one preset; and, if `alone`, for one call at a time."""
    note = work / "preset"
    try:
        with lock_folder(work) if alone else nullcontext():
            if note.exists() and note.read_text() != preset:
                sys.exit(f"{work} is of the preset {note.read_text()}; give another --work.")
            write_whole(note, preset.encode())
            yield
    except RunFolderError as error:
        sys.exit(str(error).replace("--out", "--work"))


if __name__ == "__main__":
    sys.exit(main())
