"""The benchmark's tasks: what a word is learned from, and the prompts that test it.

A thing is learned from drawings in some styles. The prompts ask for it in its other styles, on
other backgrounds, at places, beside known things, and several times. The new style is learned from
pictures of some known things, and asked for on other things: alone, at places, and beside others.
Every choice is fixed, so that all runs have the same tasks.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from pseudoword.benchmark.artwork import Artwork, Thing
from pseudoword.benchmark.compose import (
    BOXES_BY_COUNT,
    COLOURS,
    PLACES,
    SINGLE_BOX,
    Box,
    Placed,
    compose,
    with_article,
)
from pseudoword.files import remove_abandoned, write_whole
from pseudoword.report.picture_output import encode_picture

Kind = Literal["style", "background", "place", "word first", "word last", "copies", "thing"]
"""`word first` and `word last` ask for two things. Most text encoders read from left to right, so
what comes first changes how the rest is read, and not the other way round."""

PROMPTS = 5
"""The version of the prompts and their scores: different ones cannot be compared."""

PARTNERS = ("cat", "apple", "car", "rose", "banana", "airplane", "hammer", "horse")
"""Known things that a learned thing is asked for together with."""

NUMBERS = {2: "two", 3: "three", 4: "four"}

PAIRS: Mapping[Kind, int] = {"word first": 6, "word last": 2}
"""Prompts of a task for a pair, by kind. Those of a kind have different partners."""

PARTNER_SIDE = 0.5
"""Side of the part in which a partner is looked for, as a fraction of the picture's side."""

PLACES_ASKED = 2
"""Prompts of a task for a place, each for another one."""

UNSEEN_STYLES = 2
"""Styles of a thing that it is not learned from."""

TRAINING_PICTURES = 5

STYLE_TASKS = 8
"""Words that are learned for the new style, each from other pictures."""


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
    compared: Box | None = None
    """the part of the pictures that is compared with the candidates; None for all of it"""

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
            style_tasks(art, side_px, concepts),
            known_style_tasks(art, side_px, concepts),
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

    def asked(style: str) -> _Asked:
        return _Asked(art, side_px, thing.name, style, "a [name]", with_article(style))

    training_styles = [learned[i % len(learned)] for i in range(TRAINING_PICTURES)]
    training_pictures = [
        TrainingPicture(asked(style).single(background), f"in {style} style {_on(background)}")
        for style, background in zip(training_styles, training_colours, strict=True)
    ]
    prompts = [
        asked(unseen[0]).in_style("white"),
        asked(unseen[1]).in_style(free_colours[0]),
        asked(learned[0]).on(free_colours[1]),
        asked(learned[1]).on(free_colours[2]),
        # The others are in a learned style, so that only one thing is new about each.
        *(asked(learned[0]).at(place) for place in _places(rng)),
        *asked(learned[1]).pairs(rng),
        *(asked(learned[0]).copies(n) for n in rng.sample(list(NUMBERS), 2)),
        asked(unseen[0]).in_style(free_colours[3]),
        asked(unseen[1]).in_style(free_colours[4]),
    ]
    return Task(thing.name, init_word or thing.init_word, training_pictures, prompts)


def style_tasks(art: Artwork, side_px: int, concepts: int | None = None) -> list[Task]:
    """Several words for the new style, each learned from other pictures."""
    return [
        _style_task(art, art.new_style, f"style-{n + 1}", art.styles[n % len(art.styles)], side_px)
        for n in range(STYLE_TASKS)[:concepts]
    ]


def known_style_tasks(art: Artwork, side_px: int, concepts: int | None = None) -> list[Task]:
    """The same prompts for the styles that the base model knows by name."""
    return [_style_task(art, style, style, style, side_px) for style in art.styles[:concepts]]


def _style_task(art: Artwork, style: str, name: str, init_word: str, side_px: int) -> Task:
    rng = random.Random(name)
    things = [t.name for t in art.known if (t.name, style) in art.drawings]
    rng.shuffle(things)

    def asked(thing: str) -> _Asked:
        return _Asked(art, side_px, thing, style, with_article(thing), "a [name]")

    colours = list(COLOURS)
    learned, others = things[:TRAINING_PICTURES], iter(things[TRAINING_PICTURES:])
    training_pictures = [
        TrainingPicture(
            asked(thing).single(background), f"of {with_article(thing)} {_on(background)}"
        )
        for thing, background in zip(learned, _split_colours(rng)[0], strict=True)
    ]
    prompts = [
        *(asked(next(others)).among_styles("thing", colour) for colour in rng.sample(colours, 6)),
        *(asked(next(others)).among_styles("background", c) for c in rng.sample(colours, 2)),
        *(asked(next(others)).at(place) for place in _places(rng)),
        *asked(next(others)).pairs(rng),
    ]
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


@dataclass(frozen=True)
class _Asked:
    """A thing in a style, and the prompts that ask for it. One of both is the new word."""

    art: Artwork
    side_px: int
    thing: str
    style: str
    thing_words: str
    """the thing as prompts name it, with its article"""
    style_words: str

    def single(self, background: str, style: str | None = None) -> Image.Image:
        """The thing alone; in its own style, or in another one."""
        return self._picture([Placed(self._drawing(style), SINGLE_BOX)], background)

    def in_style(self, background: str) -> TaskPrompt:
        """A prompt that is followed if the style is right."""
        return self._prompt("style", self.style, [self.single(background)], background=background)

    def on(self, background: str) -> TaskPrompt:
        """A prompt that is followed if the background is right."""
        picture = self.single(background)
        return self._prompt("background", background, [picture], background=background)

    def among_styles(self, kind: Kind, background: str) -> TaskPrompt:
        """A prompt that is followed if the thing or the background is right; styles compete."""
        styles = [s for s in (*self.art.styles, self.art.new_style) if s != self.style]
        there = [s for s in styles if (self.thing, s) in self.art.drawings]
        pictures = [self.single(background, style) for style in (self.style, *there)]
        expected = self.thing if kind == "thing" else background
        return self._prompt(kind, expected, pictures, background=background)

    def at(self, place: str) -> TaskPrompt:
        """A prompt for the thing at a place."""
        picture = self._picture([Placed(self._drawing(), PLACES[place])])
        return self._prompt("place", place, [picture], f"{self.thing_words} {place}")

    def pairs(self, rng: random.Random) -> list[TaskPrompt]:
        """Prompts for the thing beside known ones."""
        names = [p for p in PARTNERS if (p, self.style) in self.art.drawings and p != self.thing]
        return [
            self._pair(kind, partner, names)
            for kind, count in PAIRS.items()
            for partner in rng.sample(names, count)
        ]

    def _pair(self, kind: Kind, partner: str, names: Sequence[str]) -> TaskPrompt:
        step = -1 if kind == "word last" else 1

        def pair(other: str) -> Image.Image:
            drawings = (self._drawing(), self.art.drawings[other, self.style])[::step]
            return self._picture(list(map(Placed, drawings, BOXES_BY_COUNT[2])))

        both = " and ".join((self.thing_words, with_article(partner))[::step])
        candidates = [pair(partner), *(pair(name) for name in names if name != partner)]
        # Whether a partner is there must not depend on how well the new thing beside it is drawn.
        x, y, _ = BOXES_BY_COUNT[2][::step][1]
        return replace(self._prompt(kind, partner, candidates, both), compared=(x, y, PARTNER_SIDE))

    def copies(self, n: int) -> TaskPrompt:
        """A prompt for the thing `n` times."""

        def copies(n: int) -> Image.Image:
            return self._picture([Placed(self._drawing(), box) for box in BOXES_BY_COUNT[n]])

        candidates = [copies(n), *(copies(other) for other in BOXES_BY_COUNT if other != n)]
        prompt = self._prompt("copies", NUMBERS[n], candidates)
        text = f"{NUMBERS[n]} copies of {self.style_words} [name] {_on(prompt.background)}"
        return replace(prompt, text=text)

    def _prompt(
        self,
        kind: Kind,
        expected: str,
        candidates: Sequence[Image.Image],
        things: str | None = None,
        background: str = "white",
    ) -> TaskPrompt:
        """A prompt for `things`; the first candidate is the reference."""
        return TaskPrompt(
            kind, f"{self.style_words} of {things or self.thing_words} {_on(background)}",
            candidates[0], expected, self.thing, self.style, background,
            candidates if len(candidates) > 1 else (),
        )  # fmt: skip

    def _drawing(self, style: str | None = None) -> np.ndarray:
        return self.art.drawings[self.thing, style or self.style]

    def _picture(self, things: Sequence[Placed], background: str = "white") -> Image.Image:
        return compose(background, things, self.side_px)


def _places(rng: random.Random) -> list[str]:
    return rng.sample(list(PLACES), PLACES_ASKED)


def _split_colours(rng: random.Random) -> tuple[list[str], list[str]]:
    """Colours for training pictures, white among them; and colours that are left for prompts."""
    others = [colour for colour in COLOURS if colour != "white"]
    rng.shuffle(others)
    return ["white", *others[: TRAINING_PICTURES - 1]], others[TRAINING_PICTURES - 1 :]


def _on(background: str) -> str:
    return f"on {with_article(background)} background"
