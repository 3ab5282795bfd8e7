"""Compare settings of `train` on words whose right pictures are known, and update the docs.

    python benchmarks/compare_settings.py [--out bench] [--concepts N] [--relearn]
                                          [--compare SETTINGS]

The same as `pseudoword bench`, but by default with the comparison in the documentation. Run it
again after an interruption; it continues.
"""

import argparse
from pathlib import Path

from PIL import Image

import pseudoword
from pseudoword.cli.console import Console

DOCS = Path(__file__).parent.parent / "docs" / "benchmark"
PLAIN = "vectors=1,norm=none,average=false,timestep_sampling=uniform,lr=2e-3,steps=300"
"""As in the paper, with the best rate and number of steps in the grid of `benchmarks/auto.py`."""
COMPARED = ("", PLAIN)
SHOWN = ("pareto.png", "grid-things.png")


def main() -> None:
    """Compare, print the table, and write the table and pictures of the documentation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--concepts", type=int)
    parser.add_argument("--pictures-each", type=int, default=2)
    parser.add_argument("--relearn", action="store_true")
    parser.add_argument("--compare", action="append")
    arguments = parser.parse_args()
    with Console() as console:
        comparison = pseudoword.bench(
            out=arguments.out,
            concepts=arguments.concepts,
            pictures_each=arguments.pictures_each,
            relearn=arguments.relearn,
            compare=arguments.compare or COMPARED,
            progress=console,
        )
    print(comparison.table)
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "table.md").write_text(comparison.table, encoding="utf-8")
    for name in SHOWN:
        with Image.open(
            arguments.out / name
        ) as picture:  # fewer colours make the repository smaller
            picture.convert("RGB").quantize(256).save(DOCS / name, optimize=True)


if __name__ == "__main__":
    main()
