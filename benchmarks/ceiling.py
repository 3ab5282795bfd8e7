"""What limits the bundled base when it learns a thing, or a style, that it has never seen.

    python benchmarks/ceiling.py [--of things|styles] [--words 6] [--steps 100] [--out ceiling]

The same pictures and captions are learned by more and more of the model: rows of the word, the
text encoder's output, keys and values of the U-Net's cross-attention, the whole U-Net. The right
pictures through the VAE are what can be reached at all. Known things (styles) that are learned
again, from the word for their kind (for another style), show what rows can do where the U-Net
knows the answer. Right pictures in another style show what a word reaches that does not follow, or
learn, the style. A thing is also learned from pictures in the styles that it is then asked for in,
right ones or ones that the base draws over its own, and a style from more pictures.

Identity is the mean cosine to the right pictures: of the pictures that were learned from (*seen*),
and of the thing in other styles and on other backgrounds, or the style of other things (*new*).
Of things the table also says how often a style that was not learned from is drawn where a prompt
asks for it. What is finished is kept in the folder: run it again to go on.
"""

import json
import re
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean

import torch
from PIL.Image import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import shared
from benchmarks.learning_parts import BASE, Asked, Learned, Learner, pixels
from pseudoword.benchmark import artwork
from pseudoword.benchmark.compose import COLOURS, SINGLE_BOX, Placed, compose, with_article
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.results import markdown_table
from pseudoword.benchmark.runner import side_by_side
from pseudoword.benchmark.scoring import Scorer
from pseudoword.benchmark.tasks import Task, known_style_tasks, style_tasks, thing_task
from pseudoword.files import file_stem, write_whole
from pseudoword.models import base_model
from pseudoword.report import grids
from pseudoword.report.charts import empty_figure, png_of
from pseudoword.report.picture_output import encode_picture

THINGS = ("octopus", "owl", "strawberry", "birthday cake", "balloon", "pumpkin")
KNOWN_THINGS = ("ant", "banana", "plug", "watch", "cloud", "car")

START, KNOWN = "starting words", "known words"
VAE = "right pictures through the VAE"
OTHER = "right pictures in the nearest style"
"""Of the other styles that a thing was learned from, or of all known ones: for each picture, the
one that is most similar."""
LEARNERS = {
    "3 rows": Learner(rows=3),
    "8 rows": Learner(rows=8),
    "text states": Learner(states=True),
    "text states of each layer": Learner(states=True, layers=True),
    "3 rows, keys and values": Learner(rows=3, unet=r"attn2\.to_[kv]\."),
    "3 rows, the whole U-Net": Learner(rows=3, unet="."),
    "3 rows, known {of}": Learner(rows=3, known=True),
}
FROM_OTHERS = {
    "things": {
        "3 rows, the styles asked for": Learner(rows=3, asked_styles=True),
        "3 rows, restyled by the base": Learner(rows=3, restyled=True),
    },
    "styles": {
        "3 rows, 20 pictures": Learner(rows=3, pictures=20),
        "3 rows, the whole U-Net, 20 pictures": Learner(rows=3, unet=".", pictures=20),
    },
}
"""From other pictures than the benchmark's. Of a style there are as many things to show it on."""


CAPTION = r"(in (?P<style>.+) style|of an? (?P<thing>.+)) on an? (?P<background>.+) background"
"""Of a picture that a thing is learned from, or a style."""


def seen(task: Task) -> list[Asked]:
    """The pictures that are learned from, in the words of the benchmark's prompts."""
    asked, prompt = [], task.prompts[0]
    for one in task.training_pictures:
        found = re.fullmatch(CAPTION, one.caption)
        assert found is not None
        style, thing = found["style"] or prompt.style, found["thing"] or prompt.thing
        what, how = (
            ("a [name]", with_article(style))
            if found["style"]
            else (with_article(thing), "a [name]")
        )
        text = f"{how} of {what} on {with_article(found['background'])} background"
        asked.append(Asked(text, one.picture, thing, style, found["background"]))
    return asked


def new(task: Task) -> list[Asked]:
    """The thing in other styles and on other backgrounds, or other things in the style."""
    return [
        Asked(p.text, p.reference, p.thing, p.style, p.background) for p in task.prompts if p.single
    ]


def _not_shown(task: Task) -> list[str]:
    """The styles that only new prompts ask for."""
    known = {one.style for one in seen(task)}
    return [*dict.fromkeys(one.style for one in new(task) if one.style not in known)]


def _in_style(asked: Asked, style: str) -> Asked:
    """The same thing and picture, asked for in another style."""
    text = f"{with_article(style)} of a [name] on {with_article(asked.background)} background"
    return replace(asked, text=text, style=style)


@dataclass(frozen=True)
class Tasks:
    """What is learned: things in several styles, or styles on several things."""

    new: Sequence[Task]
    again: Sequence[Task]
    """known ones, learned from another word"""
    named: Sequence[Task]
    """known ones, drawn by their names"""

    @classmethod
    def of_things(cls, art: artwork.Artwork, side_px: int, count: int) -> "Tasks":
        """Some that differ much."""
        task, by_name = partial(thing_task, art, side_px=side_px), {t.name: t for t in art.things}
        return cls(
            [task(by_name[name]) for name in THINGS[:count]],
            [task(by_name[name]) for name in KNOWN_THINGS[:count]],
            [task(by_name[name], init_word=name) for name in KNOWN_THINGS],
        )

    @classmethod
    def of_styles(cls, art: artwork.Artwork, side_px: int, count: int) -> "Tasks":
        """The held-out style, each time from other pictures and another style's word."""
        named = known_style_tasks(art, side_px)
        again = [
            replace(task, init_word=other.name)
            for task, other in zip(named, [*named[1:], named[0]], strict=True)
        ]
        return cls(style_tasks(art, side_px)[:count], again[:count], named)


Identity = Mapping[str, float]
"""Of a word: of `seen` and `new` pictures."""


class Bench:
    """Learns, draws and measures; what is finished is in `out`."""

    def __init__(self, out: Path, steps: int) -> None:
        self._out, self._steps = out, steps
        self._family = base_model.load_named(BASE, dtype="float32")  # as the U-Nets that learn
        self._judge = SimilarityModel()
        self.art = artwork.load()
        self.side_px = self._family.resolution
        self._scorer = Scorer(self._judge, self.art, self.side_px)

    def run(self, name: str, learner: Learner | None, tasks: Sequence[Task]) -> list[Identity]:
        """Of each word; what is missing is made."""
        found = []
        for task in tasks:
            file = self._folder(name) / f"{file_stem(task.name)}.json"
            if not file.exists():
                write_whole(file, json.dumps(self._measure(name, learner, task)).encode())
            found.append(json.loads(file.read_text()))
            print(name, task.name, found[-1], flush=True)
        return found

    def _measure(self, name: str, learner: Learner | None, task: Task) -> Identity:
        groups = {"new": new(task), "seen": self._shown(learner, task)}
        every = [one for group in groups.values() for one in group]
        if name == OTHER:
            pictures = self._in_another_style(task, every)
        elif learner is None:
            pictures = self._through_vae([one.picture for one in every])
        else:
            learned = Learned(self._family, learner, task.init_word)
            with learned.in_place():
                seed = zlib.crc32(task.name.encode())
                if learned.groups:
                    learned.learn(groups["seen"], self._steps, seed)
                if learner.restyled:
                    also = self._restyled(task, learned)
                    learned = Learned(self._family, learner, task.init_word)
                    learned.learn([*groups["seen"], *also], self._steps, seed)
                pictures = learned.draw(every)
        sheet = self._folder(name) / f"{file_stem(task.name)}.png"
        sheet.parent.mkdir(parents=True, exist_ok=True)
        write_whole(sheet, encode_picture(side_by_side(pictures), "PNG"))
        drawn = iter(self._judge.features(pictures))
        right = iter(self._judge.features([one.picture for one in every]))
        return {
            kind: mean(float(next(drawn) @ next(right)) for _ in group)
            for kind, group in groups.items()
        }

    def _shown(self, learner: Learner | None, task: Task) -> list[Asked]:
        """What is learned from."""
        if learner and learner.pictures:
            return self._more(task, learner.pictures)
        return self._in_asked_styles(task) if learner and learner.asked_styles else seen(task)

    def _in_asked_styles(self, task: Task) -> list[Asked]:
        """As many pictures of a thing as before, the last ones in styles that were not shown."""
        usual, wanted = seen(task), _not_shown(task)
        kept = usual[: -len(wanted)]
        for style, one in zip(wanted, usual[len(kept) :], strict=True):
            picture = self._picture(one.thing, style, one.background)
            kept.append(replace(_in_style(one, style), picture=picture))
        return kept

    def _restyled(self, task: Task, learned: Learned) -> list[Asked]:
        """Two of a thing's pictures in each style that was not shown, as the base draws them."""
        usual = iter(seen(task))
        asked = [_in_style(next(usual), style) for style in _not_shown(task) for _ in range(2)]
        drawn = learned.draw_over(asked)
        return [replace(one, picture=picture) for one, picture in zip(asked, drawn, strict=True)]

    def _more(self, task: Task, count: int) -> list[Asked]:
        """So many pictures in a style, of known things that the prompts do not ask for."""
        asked_for = {one.thing for one in new(task)}
        style = task.prompts[0].style
        asked: list[Asked] = []
        for thing in self.art.known:
            if thing.name not in asked_for and (thing.name, style) in self.art.drawings:
                background = list(COLOURS)[len(asked) % len(COLOURS)]
                where = f"on {with_article(background)} background"
                text = f"a [name] of {with_article(thing.name)} {where}"
                picture = self._picture(thing.name, style, background)
                asked.append(Asked(text, picture, thing.name, style, background))
        return asked[:count]

    def _picture(self, thing: str, style: str, background: str) -> Image:
        drawing = Placed(self.art.drawings[thing, style], SINGLE_BOX)
        return compose(background, [drawing], self.side_px)

    def _in_another_style(self, task: Task, every: Sequence[Asked]) -> list[Image]:
        """Right but for the style."""
        learned = {one.style for one in seen(task)} & set(self.art.styles)
        pictures = []
        for asked in every:
            right = self._judge.features([asked.picture])[0]
            others = [
                self._picture(asked.thing, style, asked.background)
                for style in learned or self.art.styles
                if style != asked.style and (asked.thing, style) in self.art.drawings
            ]
            pictures.append(others[int((self._judge.features(others) @ right).argmax())])
        return pictures

    @torch.no_grad()
    def _through_vae(self, pictures: Sequence[Image]) -> list[Image]:
        from diffusers.image_processor import VaeImageProcessor

        latents = self._family.encode_pictures(pixels(pictures)).mean
        found: list[Image] = VaeImageProcessor().postprocess(
            self._family.decode(latents), output_type="pil"
        )
        return found

    def style_right(self, name: str, task: Task) -> float:
        """In what share of the pictures in new styles the style is that of the prompt."""
        known = {one.style for one in seen(task)}
        asked = [(i, one.style) for i, one in enumerate(new(task)) if one.style not in known]
        found = self._scorer.styles([self.picture(name, task, i) for i, _ in asked])
        return mean(one == style for one, (_, style) in zip(found, asked, strict=True))

    def picture(self, name: str, task: Task, place: int = 0) -> Image:
        """Of the new prompt at this place."""
        from PIL.Image import open as open_picture

        with open_picture(self._folder(name) / f"{file_stem(task.name)}.png") as sheet:
            side = sheet.height
            return sheet.convert("RGB").crop((place * side, 0, (place + 1) * side, side))

    def _folder(self, name: str) -> Path:
        return self._out / file_stem(name)


@dataclass(frozen=True)
class Row:
    """A line of the table: a learner's words."""

    name: str
    identity: Sequence[Identity]
    start: Sequence[Identity]
    """of the same things or styles, by their starting words"""
    styles: Sequence[float] = ()
    """of things: in what share of each one's pictures in new styles the style is right"""

    def shares(self, kind: str, known: float) -> list[float]:
        """The way from the starting words to `known`, as the part of each word in the mean."""
        gap = known - mean(one[kind] for one in self.start)
        return [
            (one[kind] - start[kind]) / gap
            for one, start in zip(self.identity, self.start, strict=True)
        ]


KINDS = {"seen": "pictures that were learned from", "new": "new prompts"}


def table(rows: Sequence[Row], baselines: Sequence[Row], known: Identity) -> str:
    """The shares as markdown, with standard errors over words; baselines have none."""
    heads = ["what learns", *KINDS.values(), "identity there"]
    heads += ["style asked for"] if rows[0].styles else []
    lines = [heads]
    for row in (*baselines, *rows):
        is_baseline = row in baselines
        shares = ["" if is_baseline else _percent(row.shares(k, known[k])) for k in KINDS]
        identity = mean(one["new"] for one in row.identity)
        cells = [row.name, *shares, f"{identity:.3f}"]
        lines.append([*cells, _percent(row.styles)] if row.styles else cells)
    return f"{markdown_table(lines)}\n"


def _percent(shares: Sequence[float]) -> str:
    return f"{mean(shares):z.0%} ± {100 * shared.error(shares):.0f}"


def bars(rows: Sequence[Row], known: Identity) -> bytes:
    """The shares as a chart, PNG."""
    figure = empty_figure(8, 0.45 * len(rows) + 1)
    axes = figure.subplots()
    for i, (kind, colour) in enumerate(zip(KINDS, ("#bbbbbb", "#3060c0"), strict=True)):
        shares = [row.shares(kind, known[kind]) for row in rows]
        axes.barh(
            [place + 0.38 * i for place in range(len(rows))],
            [100 * mean(each) for each in shares], 0.38, color=colour,
            xerr=[100 * shared.error(each) for each in shares],
            label=KINDS[kind],
        )  # fmt: skip
    axes.set_yticks([place + 0.19 for place in range(len(rows))], [row.name for row in rows])
    axes.invert_yaxis()
    axes.axvline(100, color="#888888", linewidth=0.8)
    axes.set_xlabel("identity, % of the way from starting words to known words")
    axes.legend(frameon=False, fontsize=8, ncol=2, loc="lower left", bbox_to_anchor=(0, 1))
    return png_of(figure)


def main() -> None:
    """Learn, measure, and write the table and the pictures."""
    parser = shared.Parser(__doc__)
    parser.add_argument("--of", choices=("things", "styles"), default="things")
    parser.add_count("--words", 6, least=2, most=len(THINGS))
    parser.add_count("--steps", 100)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    out = asked.out or Path("ceiling" if asked.of == "things" else "ceiling-styles")
    with shared.kept(out, "ceiling", of=asked.of, steps=asked.steps):
        compare(asked.of, asked.words, asked.steps, out)


def compare(kind: str, words: int, steps: int, out: Path) -> None:
    """Let each of the learners learn so many things or styles."""
    bench = Bench(out, steps)
    of = Tasks.of_things if kind == "things" else Tasks.of_styles
    tasks = of(bench.art, bench.side_px, words)
    learners = {name.format(of=kind): learner for name, learner in LEARNERS.items()}
    learners |= FROM_OTHERS[kind]
    start, again_start = (bench.run(START, Learner(), each) for each in (tasks.new, tasks.again))
    right = bench.run(KNOWN, Learner(), tasks.named)
    known = {kind: mean(one[kind] for one in right) for kind in KINDS}

    def styles(name: str, tasks: Sequence[Task]) -> list[float]:
        if kind == "styles":  # they are what is learned
            return []
        return [bench.style_right(name, task) for task in tasks]

    baselines = [
        Row(name, found, found, styles(name, each))
        for name, found, each in ((START, start, tasks.new), (KNOWN, right, tasks.named))
    ]
    rows: list[Row] = []
    for name, learner in {**learners, OTHER: None, VAE: None}.items():
        again = learner is not None and learner.known
        each = tasks.again if again else tasks.new
        found = bench.run(name, learner, each)
        rows.append(Row(name, found, again_start if again else start, styles(name, each)))
        write_whole(out / "ceiling.md", table(rows, baselines, known).encode())
    write_whole(out / "ceiling.png", bars(rows, known))
    shown = [START, *(name for name, learner in learners.items() if not learner.known)]
    grid = grids.grid(
        [
            ("right pictures", [new(one)[0].picture for one in tasks.new]),
            *((name, [bench.picture(name, one) for one in tasks.new]) for name in shown),
        ],
        heads=[one.name for one in tasks.new], cell_px=96,
    )  # fmt: skip
    write_whole(out / "ceiling-grid.png", encode_picture(grid, "PNG"))
    print(table(rows, baselines, known))


if __name__ == "__main__":
    main()
