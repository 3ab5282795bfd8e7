"""Draws the pictures of `docs/training.md`: a run on the bundled model that finds its own settings.

python scripts/training_pictures.py
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from pseudoword import train
from pseudoword.cli.console import Console
from pseudoword.commands.demo import TOKEN
from pseudoword.example_files import EXAMPLE_INIT, EXAMPLE_PICTURES

DOCS = Path(__file__).resolve().parent.parent / "docs"
PREVIEWS = (
    "a [name] on a white background --d 1",
    "a [name] on a teal background --d 2",
)


def main() -> None:
    """Train, and copy the run's own pictures."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as folder, Console() as console:
        out = Path(folder) / "run"
        train(
            EXAMPLE_PICTURES,
            TOKEN,
            init=EXAMPLE_INIT,
            template="captioned",
            lr="auto",
            preview=PREVIEWS,
            preview_every=20,
            out=out,
            progress=console,
        )
        for name in ("loss.png", "rate.png", "previews/filmstrip.png"):
            picture = Image.open(out / name).convert("RGB").quantize(256)
            picture.save(DOCS / f"training_{Path(name).name}", optimize=True)


if __name__ == "__main__":
    main()
