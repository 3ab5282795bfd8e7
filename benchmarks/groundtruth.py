"""Compare settings of `train` where the right answers are known; write what the docs show of it.

    python benchmarks/groundtruth.py [--out bench] [--concepts N] [--relearn] [--compare SETTINGS]

The same as `pseudoword bench`, with the comparison that the documentation shows as its default.
Run it again to go on after an interruption.
"""

import argparse
from pathlib import Path

from PIL import Image

import pseudoword
from pseudoword.cli.console import Console

DOCS = Path(__file__).parent.parent / "docs" / "benchmark"
PLAIN = "vectors=1,norm=none,average=false,timestep_sampling=uniform,lr=2e-3,steps=300"
"""As in the paper, at the best rate and steps of `benchmarks/auto.py`'s grid."""
COMPARED = ("", PLAIN)
SHOWN = ("pareto.png", "grid-things.png")


def main() -> None:
    """Run, print the table, and put what the documentation shows into docs/."""
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
        found = pseudoword.bench(
            out=arguments.out,
            concepts=arguments.concepts,
            pictures_each=arguments.pictures_each,
            relearn=arguments.relearn,
            compare=arguments.compare or COMPARED,
            progress=console,
        )
    print(found.table)
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "table.md").write_text(found.table, encoding="utf-8")
    for name in SHOWN:
        with Image.open(arguments.out / name) as picture:  # fewer colours: it travels with clones
            picture.convert("RGB").quantize(256).save(DOCS / name, optimize=True)


if __name__ == "__main__":
    main()
