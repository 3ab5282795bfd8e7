"""What limits the bundled base when it learns a thing that it has never seen.

    python benchmarks/ceiling.py [--things 6] [--steps 100] [--out ceiling]

The same pictures and captions are learned by more and more of the model: rows of the word, the
text encoder's output, keys and values of the U-Net's cross-attention, the whole U-Net. The right
pictures through the VAE are what can be reached at all. Known things that are learned again from
the word for their kind show what rows can do where the U-Net knows the answer. Right pictures in
another style show what a word reaches that does not follow the style.

Identity is the mean cosine to the right pictures: of the pictures that were learned from (*seen*),
and of the thing in other styles and on other backgrounds (*new*). What is finished is kept in the
folder: run it again to go on.
"""

import argparse
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from pseudoword.benchmark import artwork
from pseudoword.benchmark.compose import SINGLE_BOX, Placed, article, compose
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.runner import side_by_side
from pseudoword.benchmark.tasks import Task, thing_task
from pseudoword.concept import Concept
from pseudoword.files import file_stem, write_whole
from pseudoword.models import base_model
from pseudoword.models.family import Condition, Family
from pseudoword.models.generation import generate
from pseudoword.report import grids
from pseudoword.report.charts import empty_figure, png_of
from pseudoword.report.picture_output import encode_picture
from pseudoword.training.initialisation import rows_of_words

THINGS = ("octopus", "owl", "strawberry", "birthday cake", "balloon", "pumpkin")
KNOWN_THINGS = ("ant", "banana", "plug", "watch", "cloud", "car")
BASE = "emoji"
TOKEN = "<word>"
BATCH = 4
SAMPLER_STEPS = 10
RATES = {"rows": 0.5, "states": 0.1, "unet": 1e-4}
"""Of Adam, down to zero over the run. For rows and states it is a share of the usual size of their
numbers."""


@dataclass(frozen=True)
class Learner:
    """What learns."""

    rows: int = 0
    """vectors of the word; 0: the starting word stays"""
    states: bool = False
    """whether something is added to the text encoder's output"""
    layers: bool = False
    """whether each cross-attention layer has states of its own"""
    unet: str = ""
    """names of weights of the U-Net, as a regular expression; empty for none"""
    known: bool = False
    """whether it learns known things again, not new ones"""


START, KNOWN = "starting words", "known words"
VAE = "right pictures through the VAE"
OTHER = "right pictures in another style"
"""Of the thing, in one of the styles that it was learned from."""
LEARNERS = {
    "3 rows": Learner(rows=3),
    "8 rows": Learner(rows=8),
    "text states": Learner(states=True),
    "text states of each layer": Learner(states=True, layers=True),
    "3 rows, keys and values": Learner(rows=3, unet=r"attn2\.to_[kv]\."),
    "3 rows, the whole U-Net": Learner(rows=3, unet="."),
    "3 rows, known things": Learner(rows=3, known=True),
}


@dataclass(frozen=True)
class Asked:
    """A prompt with `[name]`, and the right picture for it."""

    text: str
    picture: Image
    style: str
    background: str


def seen(task: Task) -> list[Asked]:
    """The pictures that are learned from, in the words of the benchmark's prompts."""
    asked = []
    for one in task.training_pictures:
        found = re.fullmatch(r"in (.+) style (on an? (.+) background)", one.caption)
        assert found is not None
        style, where, background = found.groups()
        text = f"{article(style)} {style} of a [name] {where}"
        asked.append(Asked(text, one.picture, style, background))
    return asked


def new(task: Task) -> list[Asked]:
    """The thing in other styles and on other backgrounds."""
    return [
        Asked(p.text, p.reference, p.style, p.background)
        for p in task.prompts
        if p.kind in ("style", "background")
    ]


class TextStates(nn.Module):
    """What is added to the text encoder's output, for all layers alike or for each its own."""

    def __init__(self, family: Family, learner: Learner) -> None:
        super().__init__()
        with torch.no_grad():
            hidden = family.encode_text(["a"], {}).hidden
        self.layers = len(family.layers) if learner.layers else 1
        self.added = nn.Parameter(torch.zeros(self.layers, *hidden.shape[1:]))
        self.usual_number = float(hidden.square().mean().sqrt())

    def condition(self, text: Condition, scale: float = 1.0) -> Condition:
        """Text `[B, L, D]`, for several layers joined along the tokens."""
        hidden = text.hidden[:, None] + scale * self.added
        return Condition(hidden.flatten(1, 2), layered=self.layers > 1)


class Learned:
    """A thing, and what of the model learns it."""

    def __init__(self, family: Any, learner: Learner, init_word: str) -> None:
        self._family, self._word = family, init_word
        self.groups: list[dict[str, Any]] = []
        ((self._key, encoder),) = family.encoders.items()
        self.rows: nn.Parameter | None = None
        if learner.rows:
            start = rows_of_words(family, init_word, "auto", learner.rows)[self._key]
            self.rows = nn.Parameter(start.clone())
            self._norms = start.norm(dim=-1, keepdim=True)
            usual = encoder.median_norm / encoder.width**0.5
            self.groups.append({"params": [self.rows], "lr": RATES["rows"] * usual})
        self._states = TextStates(family, learner) if learner.states else None
        if self._states:
            rate = RATES["states"] * self._states.usual_number
            self.groups.append({"params": [self._states.added], "lr": rate})
        self._unet = _free_unet(learner.unet) if learner.unet else None
        if self._unet:
            weights = [w for w in self._unet.parameters() if w.requires_grad]
            self.groups.append({"params": weights, "lr": RATES["unet"]})

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While open, the family reads and draws with what was learned."""
        family = self._family
        unet = family.denoiser
        if self._states:
            plain, states = family.encode_text, self._states
            family.encode_text = lambda *text: states.condition(plain(*text))
            # without a change, but for as many layers
            family.encode_negative = lambda *text: states.condition(plain(*text), scale=0)
        assert family.layers  # found in its own U-Net, before another one takes its place
        family.denoiser = self._unet or unet
        try:
            yield
        finally:
            family.denoiser = unet
            for name in ("encode_text", "encode_negative"):
                family.__dict__.pop(name, None)

    def learn(self, asked: Sequence[Asked], steps: int, seed: int) -> None:
        """Minimise the loss of training on these pictures."""
        family, schedule = self._family, self._family.noise_schedule
        source = torch.Generator().manual_seed(seed)
        latents = family.encode_pictures(_pixels([one.picture for one in asked])).mean
        optimiser = torch.optim.Adam(self.groups)
        falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
        micro = torch.zeros(BATCH, 6, dtype=torch.int64)
        for _ in range(steps):
            which = torch.randint(len(asked), (BATCH,), generator=source)
            # one from each quarter of the timesteps
            t = (torch.arange(BATCH) + torch.rand(BATCH, generator=source)) * schedule.timesteps
            t = (t / BATCH).long()
            clean = latents[which]
            noise = torch.randn(clean.shape, generator=source)
            words = {} if self.rows is None else {TOKEN: {self._key: self.rows}}
            text = family.encode_text([self.prompt(asked[i]) for i in which], words)
            found = family.predict(schedule.noisy(clean, noise, t), t, text, micro)
            optimiser.zero_grad()
            mse_loss(found, schedule.target(clean, noise, t)).backward()
            optimiser.step()
            falling.step()
            if self.rows is not None:
                with torch.no_grad():  # as long as the starting word, as by default
                    self.rows.mul_(self._norms / self.rows.norm(dim=-1, keepdim=True))

    def draw(self, asked: Sequence[Asked]) -> list[Image]:
        """One picture for each prompt."""
        concepts = []
        if self.rows is not None:
            concepts = [Concept(TOKEN, {self._key: self.rows.detach()}, self._family.name)]
        return generate(
            self._family, [self.prompt(one) for one in asked], concepts,
            seeds=range(len(asked)), sampler_steps=SAMPLER_STEPS,
        )  # fmt: skip

    def prompt(self, asked: Asked) -> str:
        """The prompt with the word in it."""
        return asked.text.replace("[name]", self._word if self.rows is None else TOKEN)


def _free_unet(names: str) -> nn.Module:
    """A U-Net of its own, of which the weights of these names can learn."""
    from diffusers import UNet2DConditionModel

    unet: nn.Module = UNet2DConditionModel.from_pretrained(
        base_model.BUNDLED[BASE], subfolder="unet"
    )
    for name, weight in unet.named_parameters():
        weight.requires_grad_(re.search(names, name) is not None)
    return unet


def _pixels(pictures: Sequence[Image]) -> Tensor:
    """`[B, 3, H, W]` in [-1, 1]."""
    pixels = np.stack([np.asarray(picture.convert("RGB"), np.float32) for picture in pictures])
    return torch.from_numpy(pixels / 127.5 - 1).permute(0, 3, 1, 2).contiguous()


Identity = Mapping[str, float]
"""Of a thing: of `seen` and `new` pictures."""


class Bench:
    """Learns, draws and measures; what is finished is in `out`."""

    def __init__(self, out: Path, steps: int) -> None:
        self._out, self._steps = out, steps
        self._family = base_model.load_named(BASE)
        self._judge = SimilarityModel()
        self._art = artwork.load()
        self.side_px = self._family.resolution

    def run(self, name: str, learner: Learner | None, tasks: Sequence[Task]) -> list[Identity]:
        """Of each thing; what is missing is made."""
        found = []
        for task in tasks:
            file = self._folder(name) / f"{file_stem(task.name)}.json"
            if not file.exists():
                write_whole(file, json.dumps(self._measure(name, learner, task)).encode())
            found.append(json.loads(file.read_text()))
            print(name, task.name, found[-1], flush=True)
        return found

    def _measure(self, name: str, learner: Learner | None, task: Task) -> Identity:
        groups = {"new": new(task), "seen": seen(task)}
        every = [one for group in groups.values() for one in group]
        if name == OTHER:
            pictures = self._in_another_style(task, every)
        elif learner is None:
            pictures = self._through_vae([one.picture for one in every])
        else:
            learned = Learned(self._family, learner, task.init_word)
            with learned.in_place():
                if learned.groups:
                    learned.learn(groups["seen"], self._steps, zlib.crc32(task.name.encode()))
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

    def _in_another_style(self, task: Task, every: Sequence[Asked]) -> list[Image]:
        """Right but for the style, which is one that was learned from."""
        styles = [one.style for one in seen(task)]
        pictures = []
        for i, asked in enumerate(every):
            style = next(s for s in styles[i % len(styles) :] + styles if s != asked.style)
            drawing = Placed(self._art.drawings[task.name, style], SINGLE_BOX)
            pictures.append(compose(asked.background, [drawing], self.side_px))
        return pictures

    @torch.no_grad()
    def _through_vae(self, pictures: Sequence[Image]) -> list[Image]:
        from diffusers.image_processor import VaeImageProcessor

        latents = self._family.encode_pictures(_pixels(pictures)).mean
        found: list[Image] = VaeImageProcessor().postprocess(
            self._family.decode(latents), output_type="pil"
        )
        return found

    def first_picture(self, name: str, task: Task) -> Image:
        """Of the first new prompt."""
        from PIL.Image import open as open_picture

        with open_picture(self._folder(name) / f"{file_stem(task.name)}.png") as sheet:
            return sheet.convert("RGB").crop((0, 0, sheet.height, sheet.height))

    def _folder(self, name: str) -> Path:
        return self._out / file_stem(name)


@dataclass(frozen=True)
class Row:
    """A line of the table: a learner's things."""

    name: str
    identity: Sequence[Identity]
    start: Sequence[Identity]
    """of the same things, by their starting words"""

    def shares(self, kind: str, known: float) -> list[float]:
        """The way from the starting words to `known`, as the part of each thing in the mean."""
        gap = known - mean(one[kind] for one in self.start)
        return [
            (one[kind] - start[kind]) / gap
            for one, start in zip(self.identity, self.start, strict=True)
        ]


KINDS = {"seen": "pictures that were learned from", "new": "new styles and backgrounds"}


def table(rows: Sequence[Row], known: Identity) -> str:
    """The shares as markdown, with standard errors over things."""
    lines = [
        f"| what learns | {' | '.join(KINDS.values())} | identity there |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        shares = [_percent(row.shares(kind, known[kind])) for kind in KINDS]
        identity = mean(one["new"] for one in row.identity)
        lines.append(f"| {row.name} | {' | '.join(shares)} | {identity:.3f} |")
    return "\n".join(lines) + "\n"


def _percent(shares: Sequence[float]) -> str:
    return f"{mean(shares):.0%} ± {100 * _error(shares):.0f}"


def _error(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values))


def bars(rows: Sequence[Row], known: Identity) -> bytes:
    """The shares as a chart, PNG."""
    figure = empty_figure(8, 0.45 * len(rows) + 1)
    axes = figure.subplots()
    for i, (kind, colour) in enumerate(zip(KINDS, ("#bbbbbb", "#3060c0"), strict=True)):
        shares = [row.shares(kind, known[kind]) for row in rows]
        axes.barh(
            [place + 0.38 * i for place in range(len(rows))],
            [100 * mean(each) for each in shares], 0.38, color=colour,
            xerr=[100 * _error(each) for each in shares],
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--things", type=int, default=6)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("ceiling"))
    asked = parser.parse_args()
    art = artwork.load()
    bench = Bench(asked.out, asked.steps)
    by_name = {thing.name: thing for thing in art.things}
    new_things, known_things = ([by_name[n] for n in names] for names in (THINGS, KNOWN_THINGS))
    task = partial(thing_task, art, side_px=bench.side_px)
    things = [task(thing) for thing in new_things[: asked.things]]
    again = [task(thing) for thing in known_things[: asked.things]]
    named = [task(thing, init_word=thing.name) for thing in known_things]
    start, again_start = (bench.run(START, Learner(), tasks) for tasks in (things, again))
    right = bench.run(KNOWN, Learner(), named)
    known = {kind: mean(one[kind] for one in right) for kind in KINDS}
    rows = []
    for name, learner in {**LEARNERS, OTHER: None, VAE: None}.items():
        one = learner is not None and learner.known
        found = bench.run(name, learner, again if one else things)
        rows.append(Row(name, found, again_start if one else start))
        write_whole(asked.out / "ceiling.md", table(rows, known).encode())
    write_whole(asked.out / "ceiling.png", bars(rows, known))
    shown = [START, *(name for name, learner in LEARNERS.items() if not learner.known)]
    grid = grids.grid(
        [
            ("right pictures", [new(one)[0].picture for one in things]),
            *((name, [bench.first_picture(name, one) for one in things]) for name in shown),
        ],
        heads=[one.name for one in things], cell_px=96,
    )  # fmt: skip
    write_whole(asked.out / "ceiling-grid.png", encode_picture(grid, "PNG"))
    print(table(rows, known))


if __name__ == "__main__":
    main()
