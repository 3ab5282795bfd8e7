"""What is learned from, and what is asked: each question with its true answer.

A thing is learned from drawings in some styles and asked for in all: on other backgrounds, at a
place, beside a known thing, and several times. The new style is learned from pictures of some
known things and asked for on others. All choices are fixed, so that every run sits the same exam.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PIL import Image

from pseudoword.benchmark.artwork import Artwork, Thing
from pseudoword.benchmark.compose import COLOURS, PLACES, SPREAD, WHOLE, Placed, article, compose
from pseudoword.files import sweep, write_whole
from pseudoword.report.charts import encoded

Kind = Literal["style", "background", "place", "pair", "copies", "thing"]

PARTNERS = ("cat", "apple", "car", "house", "rose", "robot")
"""Known things that a concept is asked for together with."""

NUMBERS = {2: "two", 3: "three", 4: "four"}

UNSEEN_STYLES = 2
"""A thing is learned in all its styles but this many."""

LESSON_PICTURES = 5

STYLE_WORDS = 4
"""How often the new style is learned, each time from other pictures."""

STYLE_QUESTIONS = 8


@dataclass(frozen=True)
class LessonPicture:
    """A picture to learn from, and a caption for all that is *not* the new word."""

    picture: Image.Image
    caption: str


@dataclass(frozen=True)
class Question:
    """A prompt with `[name]`, and what a perfect picture for it shows."""

    kind: Kind
    prompt: str
    truth: Image.Image
    asked: str
    """what must be followed: the style, colour, place, partner, number or (for styles) thing"""
    thing: str
    """what the picture shows"""
    style: str
    """the style it is drawn in"""
    ground: str
    """the colour behind it"""
    choices: Sequence[Image.Image] = ()
    """the truth, and what other answers would look like: other partners, other numbers, or (when
    a style is asked for a thing) other styles"""

    @property
    def alone(self) -> bool:
        """Whether the thing fills the picture, so that its looks can be compared with the truth."""
        return self.kind in ("style", "background", "thing")


@dataclass(frozen=True)
class Paper:
    """Everything about one word to be learned (or, for an anchor, one known word)."""

    name: str
    """of the thing; `style-1` … for the new style"""
    start: str
    """the known word that learning begins from, or that an anchor is asked by"""
    lesson: Sequence[LessonPicture]
    questions: Sequence[Question]


def paper(art: Artwork, thing: Thing, side_px: int, start: str | None = None) -> Paper:
    """Lesson and questions for `thing`, to be begun from `start` or else its own starting word."""
    rng = random.Random(thing.words)
    styles = art.styles_of(thing)
    rng.shuffle(styles)
    unseen, seen = styles[:UNSEEN_STYLES], styles[UNSEEN_STYLES:]
    learned, free = _split_colours(rng)

    def alone(style: str, ground: str) -> Image.Image:
        return compose(ground, [Placed(art.drawings[thing.words, style], WHOLE)], side_px)

    lesson = [
        LessonPicture(alone(style, ground), f"in {style} style {_on(ground)}")
        for style, ground in zip(_cycled(seen, LESSON_PICTURES), learned, strict=True)
    ]
    asked_alone: list[tuple[Kind, str, str]] = [
        ("style", unseen[0], "white"),
        ("style", unseen[1], free[0]),
        ("background", seen[0], free[1]),
        ("background", seen[1], free[2]),
    ]
    questions = [
        Question(
            kind, f"{_a(style)} of a [name] {_on(ground)}", alone(style, ground),
            asked=style if kind == "style" else ground,
            thing=thing.words, style=style, ground=ground,
        )
        for kind, style, ground in asked_alone
    ]  # fmt: skip
    # The rest is asked in a style that was seen, so that only one thing is new about each.
    questions += [
        _place(art, thing, seen[0], rng, side_px),
        _pair(art, thing, seen[1], rng, side_px),
        _copies(art, thing, seen[0], rng, side_px),
    ]
    return Paper(thing.words, start or thing.start, lesson, questions)


def style_papers(art: Artwork, side_px: int) -> list[Paper]:
    """Several words for the new style, each learned from other pictures."""
    return [
        _style_paper(art, art.new_style, f"style-{n + 1}", art.styles[n % len(art.styles)], side_px)
        for n in range(STYLE_WORDS)
    ]


def known_style_papers(art: Artwork, side_px: int) -> list[Paper]:
    """The same questions of the styles that the base knows by name."""
    return [_style_paper(art, style, style, style, side_px) for style in art.styles]


def _style_paper(art: Artwork, style: str, name: str, start: str, side_px: int) -> Paper:
    rng = random.Random(name)
    drawn = [t.words for t in art.known if (t.words, style) in art.drawings]
    rng.shuffle(drawn)
    shown, asked = drawn[:LESSON_PICTURES], drawn[LESSON_PICTURES:][:STYLE_QUESTIONS]

    def alone(thing: str, ground: str, style: str = style) -> Image.Image:
        return compose(ground, [Placed(art.drawings[thing, style], WHOLE)], side_px)

    lesson = [
        LessonPicture(alone(thing, ground), f"of {_a(thing)} {_on(ground)}")
        for thing, ground in zip(shown, _split_colours(rng)[0], strict=True)
    ]
    questions = []
    for thing in asked:
        ground = rng.choice(list(COLOURS))
        others = [s for s in (*art.styles, art.new_style) if s != style]
        questions.append(
            Question(
                "thing", f"a [name] of {_a(thing)} {_on(ground)}", alone(thing, ground),
                asked=thing, thing=thing, style=style, ground=ground,
                choices=[
                    alone(thing, ground, s)
                    for s in (style, *others)
                    if (thing, s) in art.drawings
                ],
            )
        )  # fmt: skip
    return Paper(name, start, lesson, questions)


def true_in_style(
    art: Artwork, paper: Paper, style: str, side_px: int
) -> tuple[Paper, list[list[Image.Image]]]:
    """The questions about things alone that were drawn in `style`, answered in it."""
    there = [q for q in paper.questions if q.alone and (q.thing, style) in art.drawings]
    answers = [
        [compose(q.ground, [Placed(art.drawings[q.thing, style], WHOLE)], side_px)] for q in there
    ]
    return replace(paper, questions=there), answers


def write_lesson(paper: Paper, folder: Path) -> None:
    """The pictures to learn from, with their captions beside them; what is there is left alone."""
    sweep(folder)
    for number, one in enumerate(paper.lesson, 1):
        for ending, data in ((".png", encoded(one.picture, "PNG")), (".txt", one.caption.encode())):
            path = folder / f"{number}{ending}"
            if not path.exists():
                write_whole(path, data)


def _place(art: Artwork, thing: Thing, style: str, rng: random.Random, side_px: int) -> Question:
    place = rng.choice(list(PLACES))
    drawing = Placed(art.drawings[thing.words, style], PLACES[place])
    return Question(
        "place", f"{_a(style)} of a [name] {place} {_on('white')}",
        compose("white", [drawing], side_px),
        asked=place, thing=thing.words, style=style, ground="white",
    )  # fmt: skip


def _pair(art: Artwork, thing: Thing, style: str, rng: random.Random, side_px: int) -> Question:
    able = [p for p in PARTNERS if (p, style) in art.drawings and p != thing.words]
    partner = rng.choice(able)

    def both(other: str) -> Image.Image:
        drawings = (art.drawings[thing.words, style], art.drawings[other, style])
        return compose("white", list(map(Placed, drawings, SPREAD[2])), side_px)

    return Question(
        "pair", f"{_a(style)} of a [name] and {_a(partner)} {_on('white')}", both(partner),
        asked=partner, thing=thing.words, style=style, ground="white",
        choices=[both(partner), *(both(p) for p in able if p != partner)],
    )  # fmt: skip


def _copies(art: Artwork, thing: Thing, style: str, rng: random.Random, side_px: int) -> Question:
    count = rng.choice(list(NUMBERS))

    def several(n: int) -> Image.Image:
        drawing = art.drawings[thing.words, style]
        return compose("white", [Placed(drawing, box) for box in SPREAD[n]], side_px)

    return Question(
        "copies", f"{NUMBERS[count]} copies of {_a(style)} [name] {_on('white')}", several(count),
        asked=NUMBERS[count], thing=thing.words, style=style, ground="white",
        choices=[several(count), *(several(n) for n in SPREAD if n != count)],
    )  # fmt: skip


def _split_colours(rng: random.Random) -> tuple[list[str], list[str]]:
    """Colours of the lesson, and colours that are left for questions; white is always learned."""
    others = [colour for colour in COLOURS if colour != "white"]
    rng.shuffle(others)
    return ["white", *others[: LESSON_PICTURES - 1]], others[LESSON_PICTURES - 1 :]


def _cycled(values: Sequence[str], count: int) -> list[str]:
    return [values[i % len(values)] for i in range(count)]


def _a(words: str) -> str:
    return f"{article(words)} {words}"


def _on(ground: str) -> str:
    return f"on {_a(ground)} background"
