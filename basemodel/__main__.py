"""`python -m basemodel`: artwork in, bundle out. Run it again after a kill and it goes on."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from basemodel.recipe import ORDER, Recipe
from basemodel.settings import PRESETS
from basemodel.threads import keep_freed_memory


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m basemodel", description=__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu")
    parser.add_argument(
        "--only", choices=ORDER, action="append", help="just this stage (repeatable)"
    )
    parser.add_argument(
        "--minutes", type=float, help="stop cleanly after this long; run again to go on"
    )
    parser.add_argument("--unet-steps", type=int, help="train the denoiser up to this step")
    parser.add_argument("--work", type=Path, help="folder for what may be deleted")
    parser.add_argument("--bundled", type=Path, help="folder for what ships")
    parser.add_argument(
        "--from-bundle",
        action="store_true",
        help="begin from the shipped weights: text encoder, autoencoder and judge as they are, "
        "the denoiser trained further",
    )
    parser.add_argument(
        "--as-is",
        action="store_true",
        help="train nothing: use every stage's last checkpoint (to export while a run goes on)",
    )
    return parser.parse_args()


def main() -> int:
    """Run the wanted stages in order; 0 when all are complete, 3 when time ran out."""
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
    recipe = Recipe(settings, deadline, arguments.from_bundle, arguments.as_is)
    return 0 if recipe.run(arguments.only or list(ORDER)) else 3


if __name__ == "__main__":
    sys.exit(main())
