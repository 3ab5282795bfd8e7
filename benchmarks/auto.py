"""`--steps auto --lr auto --vectors auto` against a grid over rate × steps made by hand.

    python benchmarks/auto.py FOLDER... --init fruit --template captioned

Each FOLDER holds one concept: `learn/`, the pictures to learn from, and `unseen/`, true pictures to
compare with; and `init.txt` with its starting word, if that is not the one of `--init`. Every
prompt is drawn with every seed, and the score is the mean cosine to the unseen pictures, as a small
image model sees them. The grid's rates are constant, so one run with copies of its word gives all
numbers of steps. The table goes to `OUT/auto.md`. Whatever is finished is kept: run again to go on.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pseudoword import families, formats, images, train
from pseudoword.captions import render
from pseudoword.concept import Concept
from pseudoword.console import Console
from pseudoword.families.base import Family
from pseudoword.files import write_whole
from pseudoword.generation import generate
from pseudoword.judge import Judge

GUIDANCE = 4.0
"""What the bundled base draws best with."""


@dataclass(frozen=True)
class Score:
    """How one word did."""

    rate: float
    steps: int
    """all that were taken, for the grid as for auto"""
    similarity: float


@dataclass(frozen=True)
class Row:
    """What the table says of one concept."""

    concept: str
    grid: list[Score]
    auto: Score

    @property
    def best(self) -> Score:
        """The grid's best word; of equally good ones that with the fewest steps."""
        return min(self.grid, key=lambda s: (-round(s.similarity, 3), s.steps))

    @property
    def half_would_do(self) -> bool:
        """Whether the grid has a word as good, within 5 %, in half of its winner's steps."""
        enough = 0.95 * self.best.similarity
        return any(s.steps <= self.best.steps / 2 and s.similarity >= enough for s in self.grid)


def main() -> None:
    """Learn, draw, compare, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--base", default="emoji")
    parser.add_argument("--init", default="object")
    parser.add_argument("--template", default="object")
    parser.add_argument("--rates", nargs="+", default=["0.001", "0.002", "0.005", "0.01", "0.02"])
    parser.add_argument("--steps", nargs="+", type=int, default=[50, 100, 200, 300, 400])
    parser.add_argument("--prompts", nargs="+", default=["a [name]", "a photo of a [name]"])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/auto"))
    asked = parser.parse_args()
    family, judge = families.load(asked.base), Judge()
    rows = []
    for folder in asked.folders:
        kept = asked.out / folder.name / "row.json"
        if not kept.exists():
            write_whole(kept, json.dumps(asdict(_row(folder, asked, family, judge))).encode())
        found = json.loads(kept.read_bytes())
        grid = [Score(**score) for score in found["grid"]]
        rows.append(Row(found["concept"], grid, Score(**found["auto"])))
    text = table(rows)
    write_whole(asked.out / "auto.md", text.encode())
    print(text)


def _row(folder: Path, asked: argparse.Namespace, family: Family, judge: Judge) -> Row:
    unseen = [images.open_picture(path) for path in images.find([folder / "unseen"])]
    init = folder / "init.txt"
    shared: dict[str, Any] = {
        "init": init.read_text().strip() if init.exists() else asked.init,
        "template": asked.template,
        "base": asked.base,
        "preview": (),
    }

    def learned(out: Path, **settings: Any) -> Any:
        with Console() as console:
            return train(
                folder / "learn",
                f"<{folder.name}>",
                out=out,
                progress=console,
                **shared,
                **settings,
            )

    def similarity(concept: Concept) -> float:
        prompts = [
            render(line, concept.token) for line in asked.prompts for _ in range(asked.seeds)
        ]
        seeds = [*range(asked.seeds)] * len(asked.prompts)
        drawn = generate(family, prompts, [concept], seeds=seeds, guidance=GUIDANCE)
        return judge.similarity(drawn, unseen)

    grid = []
    for rate in asked.rates:
        out = asked.out / folder.name / rate
        learned(out, lr=rate, steps=max(asked.steps), save_every=min(asked.steps), evaluate_every=0)
        for steps in asked.steps:
            word = formats.read(out / "words" / f"step-{steps}.safetensors")
            grid.append(Score(float(rate), steps, similarity(word)))
    done = learned(asked.out / folder.name / "auto", lr="auto", steps="auto", vectors="auto")
    taken = (done.folder / "log.jsonl").read_bytes().splitlines()
    steps, rate = json.loads(taken[-1])["step"], float(done.concept.provenance["lr"])
    return Row(folder.name, grid, Score(rate, steps, similarity(done.concept)))


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, and how many did as asked."""
    lines = [
        "| concept | best of the grid | its rate, steps | auto | its rate, steps | auto / best |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    near = quick = possible = 0
    for row in rows:
        best, auto = row.best, row.auto
        ratio = auto.similarity / best.similarity
        near += ratio >= 0.95
        possible += row.half_would_do
        quick += row.half_would_do and auto.steps <= best.steps / 2
        lines.append(
            f"| {row.concept} | {best.similarity:.3f} | {best.rate:g}, {best.steps} "
            f"| {auto.similarity:.3f} | {auto.rate:g}, {auto.steps} | {ratio:.3f} |"
        )
    lines += [
        "",
        f"Within 5 % of the best: {near} of {len(rows)}. In at most half of its steps, where the "
        f"grid says that this would do: {quick} of {possible}. Auto's steps are all it took until "
        "it stopped, without the 48 of the range test.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
