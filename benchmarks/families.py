"""A word is learned for a trained member of every family, and compared with random words.

    python benchmarks/families.py [--only sd3 flux] [--out bench-families] [--docs]

Each member has the real classes, and a denoiser of a few million parameters that learns to draw
coloured shapes from captions such as "a photo of a green triangle". Then it is frozen, and a word
of two vectors is learned from five pictures of one thing, from the name of another. The word is
measured on other pictures of the thing, with noise that it was not learned with, beside:

- random words with as many vectors, which are as long as the learned ones
- the word that it began as
- the name of the thing itself, which the denoiser knows

What is learned: the word's loss is to be lower than that of every random word, or the exit code is
1. Text encoders and VAE keep their random weights: the denoiser learns to read them. Latents are
standardised, since such a VAE's are not, and sequences are cut behind the longest prompt, since
every token costs time. What is finished is kept: run it again to go on.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import tiny

from benchmarks import shared
from benchmarks.shared import DOCS
from pseudoword import methods
from pseudoword.benchmark.results import markdown_table
from pseudoword.config import Hyperparameters
from pseudoword.config.captions import CaptionSettings
from pseudoword.config.rates import Rates
from pseudoword.config.word import NewWord
from pseudoword.data.latents import EncodedPicture
from pseudoword.files import write_whole
from pseudoword.methods import Rows
from pseudoword.models import base_model
from pseudoword.models.family import Condition, Moments
from pseudoword.placeholders import pack_placeholder
from pseudoword.training import loop, loss
from pseudoword.training.batches import TrainingData, fixed
from pseudoword.training.initialisation import begin, initial_rows
from pseudoword.training.rate_schedules import Schedule
from pseudoword.training.state import TrainState

UNET = {"block_out_channels": (64, 128), "layers_per_block": 1, "norm_num_groups": 8}
ATTENTION = {"num_attention_heads": 16, "num_layers": 4}
GROWN: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(tiny.UNETS, UNET),
    "sd3": {**ATTENTION, "caption_projection_dim": 128},
    "flux": {"num_attention_heads": 16, "num_layers": 2, "num_single_layers": 4},
    "chroma": {"num_attention_heads": 16, "num_layers": 3, "num_single_layers": 6},
    "longcat-image": {"num_attention_heads": 16, "num_layers": 2, "num_single_layers": 4},
    "ovis-image": {"num_attention_heads": 16, "num_layers": 2, "num_single_layers": 4},
    "z-image": {"dim": 128, "n_heads": 16, "n_kv_heads": 16, "n_layers": 8},
    "pixart": {"num_attention_heads": 16, "num_layers": 8, "cross_attention_dim": 128},
    "sana": {
        **{"num_attention_heads": 16, "num_layers": 8},
        **{"num_cross_attention_heads": 16, "cross_attention_dim": 128},
    },
    "auraflow": {
        **{"num_attention_heads": 16, "num_mmdit_layers": 2, "num_single_dit_layers": 4},
        "caption_projection_dim": 128,
    },
    "lumina2": {
        **{"hidden_size": 128, "num_layers": 8, "multiple_of": 32},
        **{"num_attention_heads": 16, "num_kv_heads": 8},
    },
}
"""What the denoiser's config has differently from that in tests/tiny.py; else `ATTENTION`."""

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 220)}
COLOURS["yellow"] = (235, 200, 40)
SHAPES = ("circle", "square", "triangle")
THINGS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
PROMPTS = ("a photo of a [name]", "a picture of a [name]", "a painting of a [name]")
THING, START, TOKEN = "blue square", "toy", "<thing>"
VECTORS = 2
PICTURES, UNSEEN, EACH = 5, 16, 40
"""Pictures that a word is learned from, others to measure it on, and of each thing for training."""
SAMPLES = 256
"""Of noise, on which a word is measured."""


@dataclass(frozen=True)
class Effort:
    """How long is trained."""

    steps: int = 600
    """of the denoiser"""
    batch: int = 32
    rate: float = 2e-3
    word_steps: int = 150
    random_words: int = 16


@dataclass(frozen=True)
class Result:
    """One family; losses are means on unseen noise."""

    family: str
    parameters: int
    """of the denoiser"""
    named: float
    """the loss of the thing's own name"""
    other: float
    """the loss of the name of another thing, on the average"""
    start: float
    learned: float
    random: tuple[float, ...]
    seconds: float

    @property
    def is_learned(self) -> bool:
        """Whether the learned word is better than every random one, and than its start."""
        return self.learned < min(*self.random, self.start)

    @property
    def part(self) -> float:
        """How much of the way from a random word to the thing's name the word has gone."""
        return (mean(self.random) - self.learned) / (mean(self.random) - self.named)


def picture(thing: str, side: int, source: np.random.Generator) -> Tensor:
    """`[3, side, side]` in [-1, 1]: the thing somewhere, in some size, on some light grey."""
    colour, shape = thing.split()
    grey = int(source.integers(200, 256))
    canvas = Image.new("RGB", (side, side), (grey, grey, grey))
    radius = side * source.uniform(0.26, 0.34)
    x, y = side / 2 + side * source.uniform(-0.06, 0.06, 2)
    pen, box = ImageDraw.Draw(canvas), (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        pen.ellipse(box, COLOURS[colour])
    elif shape == "square":
        pen.rectangle(box, COLOURS[colour])
    else:
        corners = ((x, y - radius), (x + radius, y + radius), (x - radius, y + radius))
        pen.polygon(corners, COLOURS[colour])
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1) / 127.5 - 1


class Member:
    """A family's member with the things that it is shown, as latents `[n, C, h, w]`."""

    def __init__(self, folder: Path) -> None:
        """Load the model in `folder`, and encode pictures of all things."""
        self.family: Any = base_model.load_named(str(folder), "cpu", "float32")
        shorten(self.family)
        source = np.random.default_rng(0)
        side = self.family.resolution
        count = EACH + PICTURES + UNSEEN
        encoded = []
        for thing in THINGS:
            pixels = torch.stack([picture(thing, side, source) for _ in range(count)])
            encoded.append(self.family.encode_pictures(pixels).mean)
        whole = torch.cat(encoded)
        centre = whole.mean((0, 2, 3), keepdim=True)
        spread = whole.std((0, 2, 3), keepdim=True)
        self.latents = {
            thing: (own - centre) / spread for thing, own in zip(THINGS, encoded, strict=True)
        }
        self.sizes = torch.tensor([[side, side, 0, 0, side, side]])

    def shown(self, thing: str, part: slice) -> list[EncodedPicture]:
        """Some pictures of a thing as training reads them."""
        own = self.latents[thing][part]
        return [
            EncodedPicture(
                Path(thing),
                Moments(one[None], torch.zeros_like(one[None])),
                torch.ones(1, 1, *one.shape[-2:]),
                self.sizes,
                "",
                f"{thing} {i}",
            )
            for i, one in enumerate(own)
        ]


def shorten(family: Any) -> None:
    """Cut what text encoders read behind the longest prompt, where nothing but padding is."""
    prompts = [prompt.replace("[name]", thing) for prompt in PROMPTS for thing in THINGS]
    for encoder in family.encoders.values():
        reader = encoder.reader
        if not isinstance(reader.used, list):  # Sana's positions are counted from the end
            reader.length = max(len(reader.sequence(prompt, {})[0]) for prompt in prompts) + 2


def make(name: str, folder: Path, effort: Effort) -> None:
    """Save a member of the family `name`, whose denoiser was trained, in diffusers' layout."""
    new = [word for word in (*COLOURS, *SHAPES) if word not in tiny.WORDS]
    with mock.patch.object(tiny, "WORDS", [*tiny.WORDS, *new]):
        tiny.BASES[name](folder)
    member = Member(folder)
    family = member.family
    kind, config = type(family.denoiser), dict(family.denoiser.config)
    torch.manual_seed(0)
    denoiser = kind.from_config({**config, **GROWN.get(name, ATTENTION)}).train()
    family.denoiser = denoiser
    train(member, denoiser, effort)
    denoiser.save_pretrained(folder / family.denoiser_part)


def train(member: Member, denoiser: torch.nn.Module, effort: Effort) -> None:
    """Train the denoiser to predict from captions, at timesteps that are all as frequent."""
    family = member.family
    prompts = [prompt.replace("[name]", thing) for thing in THINGS for prompt in PROMPTS]
    with torch.no_grad():
        texts = family.encode_text(prompts, {})
    latents = torch.stack([member.latents[thing][:EACH] for thing in THINGS])
    optimiser = torch.optim.AdamW(denoiser.parameters(), effort.rate, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, effort.rate, total_steps=effort.steps, pct_start=0.1
    )
    schedule, source = family.noise_schedule, torch.Generator().manual_seed(0)
    for step in range(effort.steps):
        thing, one, text, t = (
            torch.randint(most, (effort.batch,), generator=source)
            for most in (len(THINGS), EACH, len(PROMPTS), schedule.timesteps)
        )
        clean = latents[thing, one]
        noise = torch.randn(clean.shape, generator=source)
        condition = chosen(texts, thing * len(PROMPTS) + text)
        sizes = member.sizes.expand(effort.batch, -1)
        predicted = family.predict(schedule.noisy(clean, noise, t), t, condition, sizes)
        error = (predicted - schedule.target(clean, noise, t)).square().mean()
        optimiser.zero_grad()
        error.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimiser.step()
        rates.step()
        if step % 50 == 49:
            print(
                f"  step {step + 1}: loss {float(error.detach()):.3f}", file=sys.stderr, flush=True
            )


def chosen(texts: Condition, which: Tensor) -> Condition:
    """Some of the texts."""
    pooled, mask = (None if part is None else part[which] for part in (texts.pooled, texts.mask))
    return replace(texts, hidden=texts.hidden[which], pooled=pooled, mask=mask)


def learn(member: Member, effort: Effort) -> Rows:
    """The rows of a word for `THING`, learned by the product's own steps."""
    family = member.family
    rows = initial_rows(family, NewWord(TOKEN, START, "auto"), VECTORS, 0)
    hyper = Hyperparameters(steps=effort.word_steps, batch=8, timestep_sampling="uniform")
    method = methods.begin(begin(family, rows), hyper)
    assert isinstance(hyper.lr, Rates)
    state = TrainState.begin(
        data(member, hyper, slice(EACH, EACH + PICTURES)),
        method,
        Schedule.of(hyper, hyper.lr.absolute(method.rate_unit)),
    )
    for _ in loop.train(family, [state]):
        pass
    if state.failure:
        raise SystemExit(state.failure)
    return state.word()


def data(member: Member, hyper: Hyperparameters, part: slice) -> TrainingData:
    """Some pictures of `THING` with the settings of a run."""
    return TrainingData(TOKEN, member.shown(THING, part), PROMPTS, hyper, CaptionSettings())


def measure(name: str, out: Path, effort: Effort) -> Result:
    """Make the member in `out`, if it is not there; learn a word, and measure it."""
    began = time.perf_counter()
    folder = out / name
    if not folder.exists():
        started = out / f"{name}.unfinished"
        shutil.rmtree(started, ignore_errors=True)
        make(name, started, effort)
        started.rename(folder)
    member = Member(folder)
    family = member.family
    unseen = data(member, Hyperparameters(batch=32), slice(EACH + PICTURES, None))
    batches = fixed(family, unseen, SAMPLES)

    @torch.no_grad()
    def measured(rows: Rows, name: str = pack_placeholder(0)) -> float:
        called = [
            [prompt.replace(pack_placeholder(0), name) for prompt in one.prompts] for one in batches
        ]
        return mean(
            float(loss.losses(family, [rows], replace(one, prompts=prompts)))
            for one, prompts in zip(batches, called, strict=True)
        )

    word = learn(member, effort)
    return Result(
        family=name,
        parameters=sum(weight.numel() for weight in family.denoiser.parameters()),
        named=measured({}, THING),
        other=mean(measured({}, thing) for thing in THINGS if thing != THING),
        start=measured(initial_rows(family, NewWord(TOKEN, START, "auto"), VECTORS, 0)),
        learned=measured(word),
        random=tuple(map(measured, random_words(family, word, effort.random_words))),
        seconds=round(time.perf_counter() - began, 1),
    )


def random_words(family: Any, word: Rows, count: int) -> Iterator[Rows]:
    """Words with as many vectors as `word`, which are as long as its own."""
    for seed in range(count):
        rows = initial_rows(family, NewWord(TOKEN, "", "random"), VECTORS, seed)
        yield {
            key: own * (word[key].norm(dim=1) / own.norm(dim=1))[:, None]
            for key, own in rows.items()
        }


def table(results: Sequence[Result]) -> str:
    """The results as Markdown."""
    heads = ["family", "parameters", "thing's name", "learned word", "starting word"]
    heads += ["best random word", "random words, mean", "other things", "part of the way"]
    rows = [heads]
    for one in results:
        losses = (one.named, one.learned, one.start, min(one.random), mean(one.random), one.other)
        numbers = [f"{value:.4f}" for value in losses]
        size = f"{one.parameters / 1e6:.1f} M"
        rows.append([f"`{one.family}`", size, *numbers, f"{one.part:.0%}"])
    return markdown_table(rows)


def finished(out: Path, name: str) -> Result | None:
    """The result that an earlier call kept."""
    file = out / f"{name}.json"
    if not file.exists():
        return None
    return _result(json.loads(file.read_text()))


def _result(found: Mapping[str, Any]) -> Result:
    return Result(**{**found, "random": tuple(found["random"])})


def with_documented(results: Sequence[Result], docs: Path) -> list[Result]:
    """`results`, and those of other families that are in the folder `docs`."""
    kept = map(_result, json.loads((docs / "families.json").read_text()))
    every = {one.family: one for one in (*kept, *results)}
    return [every[name] for name in tiny.BASES if name in every]


def main() -> None:
    """Measure each family, and print the table."""
    parser = shared.Parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=tiny.BASES, default=list(tiny.BASES))
    parser.add_argument("--out", type=Path, default=Path("bench-families"))
    parser.add_argument("--docs", action="store_true", help=shared.FOR_DOCS)
    given = parser.parse_args()
    results = []
    with shared.kept(given.out, "families"):
        for name in given.only:
            result = finished(given.out, name)
            if result is None:
                print(name, file=sys.stderr)
                result = measure(name, given.out, Effort())
                write_whole(given.out / f"{name}.json", json.dumps(asdict(result)).encode())
            results.append(result)
    print(table(results))
    if given.docs:
        every = with_documented(results, DOCS)
        write_whole(DOCS / "families.md", f"{table(every)}\n".encode())
        whole = json.dumps([asdict(one) for one in every], indent=1)
        write_whole(DOCS / "families.json", f"{whole}\n".encode())
    failed = [one.family for one in results if not one.is_learned]
    if failed:
        raise SystemExit(f"a random word is as good: {', '.join(failed)}")


if __name__ == "__main__":
    main()
