"""Two words learned together from pictures of both, compared with one by one.

    python benchmarks/together.py [--pairs 4] [--out bench-together] [--docs]

Held-out things of the bundled world that are never alone in the pictures: each of five pictures
shows two of them side by side. Both words are learned in one run (`--also`), from captions that
name both; or each in a run of its own, from the same pictures and captions that name it alone. As
the upper baseline, each is learned from pictures of its own. Then each is drawn alone, in styles
and on backgrounds that are asked for, and compared with the right pictures.

Runs that are finished are kept: run it again to go on. `--docs` writes the table and the pictures
of docs/benchmark.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import shared
from pseudoword import api
from pseudoword.benchmark.artwork import Artwork, Thing, load
from pseudoword.benchmark.compose import BOXES_BY_COUNT, SINGLE_BOX, Placed, compose, with_article
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.results import markdown_table
from pseudoword.benchmark.tasks import Task, TaskPrompt, TrainingPicture, thing_task
from pseudoword.benchmark.tasks import write_training_pictures as write_pictures
from pseudoword.cli.console import Console
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.files import file_stem, write_whole
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.report.grids import grid
from pseudoword.report.picture_output import encode_picture

TOGETHER, ONE_BY_ONE, OWN = (
    "together",
    "one by one, from the same pictures",
    "one by one, each from pictures of its own",
)
BACKGROUNDS = ("red", "white", "blue", "yellow", "gray")
SAMPLER_STEPS = 20


@dataclass(frozen=True)
class Pair:
    """Two held-out things, and their pictures."""

    art: Artwork
    first: Thing
    second: Thing
    side_px: int

    def token(self, thing: Thing) -> str:
        """The new word for a thing."""
        return f"<{file_stem(thing.name)}>"

    def pictures(self, shown: Sequence[Thing], named: Sequence[Thing]) -> list[TrainingPicture]:
        """Five pictures of the things that are `shown`; captions name those that are `named`."""
        art, pictures = self.art, []
        styles = [s for s in art.styles_of(self.first) if s in art.styles_of(self.second)]
        boxes = BOXES_BY_COUNT[2] if len(shown) == 2 else (SINGLE_BOX,)
        for i, background in enumerate(BACKGROUNDS):
            style = styles[i % len(styles)]
            things = [*shown] if i % 2 else [*reversed(shown)]
            drawings = [
                Placed(art.drawings[t.name, style], box)
                for t, box in zip(things, boxes, strict=True)
            ]
            names = " and ".join(f"a {self.token(thing)}" for thing in things if thing in named)
            caption = f"{with_article(style)} of {names} on a {background} background"
            pictures.append(TrainingPicture(compose(background, drawings, self.side_px), caption))
        return pictures


def runs(pair: Pair, out: Path) -> dict[str, list[TrainConfig]]:
    """How the words are learned -> the runs that do it."""
    first, second = pair.first, pair.second
    tasks = {thing: thing_task(pair.art, thing, pair.side_px) for thing in (first, second)}

    def run(
        kind: str, thing: Thing, pictures: Sequence[TrainingPicture], **more: object
    ) -> TrainConfig:
        name = f"{file_stem(first.name)}-{file_stem(second.name)}-{kind}-{file_stem(thing.name)}"
        folder = out / "pictures" / name
        write_pictures(Task(thing.name, "", pictures, ()), folder)
        return TrainConfig.check(
            pictures=[folder], token=pair.token(thing), init=tasks[thing].init_word,
            template="filewords", preview=(), out=out / "runs" / name, **more,
        )  # fmt: skip

    both, each = (first, second), (first, second)
    also = f"{pair.token(second)}={tasks[second].init_word}"
    return {
        TOGETHER: [run("together", first, pair.pictures(both, both), also=also)],
        ONE_BY_ONE: [run("same", one, pair.pictures(both, [one])) for one in each],
        OWN: [run("own", one, pair.pictures([one], [one])) for one in each],
    }


class Drawings:
    """Draws learned words, and compares them with the right pictures."""

    def __init__(self, family: Family, art: Artwork) -> None:
        self._family, self._model = family, SimilarityModel()
        self._things = {file_stem(thing.name): thing for thing in art.held_out}
        self._art = art

    def prompts(self, word: Concept) -> list[TaskPrompt]:
        """Prompts for the thing alone."""
        thing = self._things[word.token.strip("<>")]
        task = thing_task(self._art, thing, self._family.resolution)
        return [prompt for prompt in task.prompts if prompt.single]

    def draw(self, word: Concept) -> list[Image.Image]:
        """A picture for each of the prompts."""
        texts = [prompt.text.replace("[name]", word.token) for prompt in self.prompts(word)]
        seeds = [*range(len(texts))]
        return generate(self._family, texts, [word], seeds=seeds, sampler_steps=SAMPLER_STEPS)

    def similarity(self, word: Concept, pictures: Sequence[Image.Image]) -> float:
        """Mean similarity of each picture to the right one."""
        right = self._model.features([prompt.reference for prompt in self.prompts(word)])
        return float((self._model.features(pictures) * right).sum(-1).mean())


def table(found: Mapping[str, Sequence[float]]) -> str:
    """As Markdown: the mean over words, with its standard error."""
    lines = [
        [kind, f"{mean(values):.2f} ± {shared.error(values):.2f}"] for kind, values in found.items()
    ]
    shown = markdown_table([["learned", "similarity to the right pictures"], *lines])
    return f"{shown}\n\nMeans of {len(found[TOGETHER])} words.\n"


def main() -> None:
    """Learn, draw and print."""
    parser = shared.Parser(__doc__)
    parser.add_count("--pairs", 4, most=len(load().held_out) // 2)
    parser.add_argument("--out", type=Path, default=Path("bench-together"))
    parser.add_argument("--docs", action="store_true", help=shared.FOR_DOCS)
    given = parser.parse_args()
    with shared.kept(given.out, "together"):
        compare(given.pairs, given.out, given.docs)


def compare(count: int, out: Path, docs: bool) -> None:
    """Learn, draw and print so many pairs."""
    art, family = load(), base_model.load_named(TrainConfig.model_fields["base"].default)
    held_out = art.held_out[: 2 * count]
    pairs = [
        Pair(art, first, second, family.resolution)
        for first, second in zip(held_out[::2], held_out[1::2], strict=True)
    ]
    asked = [runs(pair, out) for pair in pairs]
    configs = [config for kinds in asked for some in kinds.values() for config in some]
    with Console() as console:
        learned = iter(api.train_pack(configs, progress=console))
    drawings = Drawings(family, art)
    found: dict[str, list[float]] = {}
    rows = []
    for pair, kinds in zip(pairs, asked, strict=True):
        shown = [one.picture for one in pair.pictures((pair.first, pair.second), ())[:2]]
        for kind, some in kinds.items():
            words = [word for _ in some for word in next(learned).words.values()]
            for word in words:
                pictures = drawings.draw(word)
                found.setdefault(kind, []).append(drawings.similarity(word, pictures))
                if kind != OWN:
                    shown.append(pictures[0])
        rows.append((f"{pair.first.name} and {pair.second.name}", shown))
    print(table(found))
    if docs:
        heads = ["learned from", "", *2 * ["together"], *2 * ["one by one"]]
        write_whole(shared.DOCS / "together.md", table(found).encode())
        sheet = grid(rows, heads=heads, cell_px=96)
        write_whole(shared.DOCS / "together.png", encode_picture(sheet, "PNG"))


if __name__ == "__main__":
    main()
