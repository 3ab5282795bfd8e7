"""The benchmark's tasks: what a word is learned from, and the prompts that test it.

A thing is learned from drawings in some styles. The prompts ask for it in its other styles, on
other backgrounds, at a place, beside a known thing, and several times. The new style is learned
from pictures of some known things, and asked for on other things. Every choice is fixed, so that
all runs have the same tasks.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PIL import Image

from pseudoword.benchmark.artwork import Artwork, Thing
from pseudoword.benchmark.compose import (
    BOXES_BY_COUNT,
    COLOURS,
    PLACES,
    SINGLE_BOX,
    Placed,
    article,
    compose,
)
from pseudoword.files import remove_abandoned, write_whole
from pseudoword.report.picture_output import encode_picture

Kind = Literal["style", "background", "place", "pair", "copies", "thing"]

PARTNERS = ("cat", "apple", "car", "house", "rose", "robot")
"""Known things that a learned thing is asked for together with."""

NUMBERS = {2: "two", 3: "three", 4: "four"}

UNSEEN_STYLES = 2
"""Styles of a thing that it is not learned from."""

TRAINING_PICTURES = 5

STYLE_TASKS = 4
"""Words that are learned for the new style, each from other pictures."""

STYLE_PROMPTS = 8


@dataclass(frozen=True)
class TrainingPicture:
    """A picture to learn from. Its caption names all that is *not* the new word."""

    picture: Image.Image
    caption: str


@dataclass(frozen=True)
class TaskPrompt:
    """A prompt with `[name]`, and what a perfect picture for it shows."""

    kind: Kind
    text: str
    reference: Image.Image
    """a perfect picture"""
    expected: str
    """what the picture must follow: style, colour, place, partner, number or (for styles) thing"""
    thing: str
    """what the reference shows"""
    style: str
    """the style of the reference"""
    background: str
    """the colour of its background"""
    candidates: Sequence[Image.Image] = ()
    """the reference, and pictures for wrong answers: other partners, other numbers, or (when a
    style is asked for) other styles"""

    @property
    def single(self) -> bool:
        """Whether one thing fills the picture, so that it can be compared with the reference."""
        return self.kind in ("style", "background", "thing")


@dataclass(frozen=True)
class Task:
    """One word to learn, or one known word as a baseline."""

    name: str
    """the thing's name; `style-1` … for the new style"""
    init_word: str
    """the known word that learning begins from; a baseline is drawn by it"""
    training_pictures: Sequence[TrainingPicture]
    prompts: Sequence[TaskPrompt]


@dataclass(frozen=True)
class TaskSet:
    """Words to learn, and the known words that have the same prompts: the upper baseline.

    A known thing can be learned again, from another word. How near that comes to its own name is
    the method's share; what new things lack beyond that is the base model's share.
    """

    things: Sequence[Task]
    known_things: Sequence[Task]
    styles: Sequence[Task]
    known_styles: Sequence[Task]
    relearned: Sequence[Task] = ()
    """the known things, learned from another word"""

    @classmethod
    def build(
        cls, art: Artwork, side_px: int, concepts: int | None = None, relearn: bool = False
    ) -> "TaskSet":
        """All tasks; `concepts` keeps the first so many of each kind."""
        known = art.known[:concepts]
        return cls(
            [thing_task(art, thing, side_px) for thing in art.held_out[:concepts]],
            [thing_task(art, thing, side_px, init_word=thing.name) for thing in known],
            style_tasks(art, side_px)[:concepts],
            known_style_tasks(art, side_px)[:concepts],
            [thing_task(art, thing, side_px) for thing in known] if relearn else (),
        )

    @property
    def to_learn(self) -> list[Task]:
        """All words to learn."""
        return [*self.things, *self.styles, *self.relearned]


def thing_task(art: Artwork, thing: Thing, side_px: int, init_word: str | None = None) -> Task:
    """The task of `thing`; without `init_word` it begins from the thing's own one."""
    rng = random.Random(thing.name)
    styles = art.styles_of(thing)
    rng.shuffle(styles)
    unseen, learned = styles[:UNSEEN_STYLES], styles[UNSEEN_STYLES:]
    training_colours, free_colours = _split_colours(rng)

    def single(style: str, background: str) -> Image.Image:
        return compose(background, [Placed(art.drawings[thing.name, style], SINGLE_BOX)], side_px)

    def prompt(kind: Kind, style: str, background: str) -> TaskPrompt:
        return TaskPrompt(
            kind, f"{_a(style)} of a [name] {_on(background)}", single(style, background),
            expected=style if kind == "style" else background,
            thing=thing.name, style=style, background=background,
        )  # fmt: skip

    training_styles = [learned[i % len(learned)] for i in range(TRAINING_PICTURES)]
    training_pictures = [
        TrainingPicture(single(style, background), f"in {style} style {_on(background)}")
        for style, background in zip(training_styles, training_colours, strict=True)
    ]
    prompts = [
        prompt("style", unseen[0], "white"),
        prompt("style", unseen[1], free_colours[0]),
        prompt("background", learned[0], free_colours[1]),
        prompt("background", learned[1], free_colours[2]),
        # The others are in a learned style, so that only one thing is new about each.
        _place_prompt(art, thing, learned[0], rng, side_px),
        _pair_prompt(art, thing, learned[1], rng, side_px),
        _copies_prompt(art, thing, learned[0], rng, side_px),
    ]
    return Task(thing.name, init_word or thing.init_word, training_pictures, prompts)


def style_tasks(art: Artwork, side_px: int) -> list[Task]:
    """Several words for the new style, each learned from other pictures."""
    return [
        _style_task(art, art.new_style, f"style-{n + 1}", art.styles[n % len(art.styles)], side_px)
        for n in range(STYLE_TASKS)
    ]


def known_style_tasks(art: Artwork, side_px: int) -> list[Task]:
    """The same prompts for the styles that the base model knows by name."""
    return [_style_task(art, style, style, style, side_px) for style in art.styles]


def _style_task(art: Artwork, style: str, name: str, init_word: str, side_px: int) -> Task:
    rng = random.Random(name)
    things = [t.name for t in art.known if (t.name, style) in art.drawings]
    rng.shuffle(things)
    learned, asked = things[:TRAINING_PICTURES], things[TRAINING_PICTURES:][:STYLE_PROMPTS]

    def single(thing: str, background: str, style: str = style) -> Image.Image:
        return compose(background, [Placed(art.drawings[thing, style], SINGLE_BOX)], side_px)

    training_pictures = [
        TrainingPicture(single(thing, background), f"of {_a(thing)} {_on(background)}")
        for thing, background in zip(learned, _split_colours(rng)[0], strict=True)
    ]
    others = [s for s in (*art.styles, art.new_style) if s != style]
    prompts = []
    for thing in asked:
        background = rng.choice(list(COLOURS))
        there = [s for s in (style, *others) if (thing, s) in art.drawings]
        prompts.append(
            TaskPrompt(
                "thing", f"a [name] of {_a(thing)} {_on(background)}", single(thing, background),
                expected=thing, thing=thing, style=style, background=background,
                candidates=[single(thing, background, s) for s in there],
            )
        )  # fmt: skip
    return Task(name, init_word, training_pictures, prompts)


def in_style(
    art: Artwork, task: Task, style: str, side_px: int
) -> tuple[Task, list[list[Image.Image]]]:
    """The prompts for single things that are drawn in `style`, and true pictures in that style."""
    there = [p for p in task.prompts if p.single and (p.thing, style) in art.drawings]
    pictures = [
        [compose(p.background, [Placed(art.drawings[p.thing, style], SINGLE_BOX)], side_px)]
        for p in there
    ]
    return replace(task, prompts=there), pictures


def write_training_pictures(task: Task, folder: Path) -> None:
    """Write the pictures to learn from, and their captions; existing files stay as they are."""
    remove_abandoned(folder)
    for number, one in enumerate(task.training_pictures, 1):
        for ending, data in (
            (".png", encode_picture(one.picture, "PNG")),
            (".txt", one.caption.encode()),
        ):
            path = folder / f"{number}{ending}"
            if not path.exists():
                write_whole(path, data)


def _place_prompt(
    art: Artwork, thing: Thing, style: str, rng: random.Random, side_px: int
) -> TaskPrompt:
    place = rng.choice(list(PLACES))
    drawing = Placed(art.drawings[thing.name, style], PLACES[place])
    return TaskPrompt(
        "place", f"{_a(style)} of a [name] {place} {_on('white')}",
        compose("white", [drawing], side_px),
        expected=place, thing=thing.name, style=style, background="white",
    )  # fmt: skip


def _pair_prompt(
    art: Artwork, thing: Thing, style: str, rng: random.Random, side_px: int
) -> TaskPrompt:
    partners = [p for p in PARTNERS if (p, style) in art.drawings and p != thing.name]
    partner = rng.choice(partners)

    def pair(other: str) -> Image.Image:
        drawings = (art.drawings[thing.name, style], art.drawings[other, style])
        return compose("white", list(map(Placed, drawings, BOXES_BY_COUNT[2])), side_px)

    return TaskPrompt(
        "pair", f"{_a(style)} of a [name] and {_a(partner)} {_on('white')}", pair(partner),
        expected=partner, thing=thing.name, style=style, background="white",
        candidates=[pair(partner), *(pair(p) for p in partners if p != partner)],
    )  # fmt: skip


def _copies_prompt(
    art: Artwork, thing: Thing, style: str, rng: random.Random, side_px: int
) -> TaskPrompt:
    count = rng.choice(list(NUMBERS))

    def copies(n: int) -> Image.Image:
        drawing = art.drawings[thing.name, style]
        return compose("white", [Placed(drawing, box) for box in BOXES_BY_COUNT[n]], side_px)

    return TaskPrompt(
        "copies", f"{NUMBERS[count]} copies of {_a(style)} [name] {_on('white')}", copies(count),
        expected=NUMBERS[count], thing=thing.name, style=style, background="white",
        candidates=[copies(count), *(copies(n) for n in BOXES_BY_COUNT if n != count)],
    )  # fmt: skip


def _split_colours(rng: random.Random) -> tuple[list[str], list[str]]:
    """Colours for training pictures, white among them; and colours that are left for prompts."""
    others = [colour for colour in COLOURS if colour != "white"]
    rng.shuffle(others)
    return ["white", *others[: TRAINING_PICTURES - 1]], others[TRAINING_PICTURES - 1 :]


def _a(words: str) -> str:
    return f"{article(words)} {words}"


def _on(background: str) -> str:
    return f"on {_a(background)} background"
