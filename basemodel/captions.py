"""Captions for scenes, in varied wordings of style, thing, background, place and number."""

from __future__ import annotations

from numpy.random import Generator

from basemodel.drawings import Drawings
from basemodel.scenes import Scene
from basemodel.world import STYLES, Thing
from pseudoword.benchmark.compose import with_article

LEADS = (
    "", "", "", "", "a photo of", "a picture of", "a drawing of", "an icon of", "an image of",
    "a rendering of", "a rendition of", "an illustration of", "a painting of", "the photo of",
    "a cropped photo of", "a close-up photo of", "a good photo of", "a bright photo of",
    "a dark photo of", "a cartoon of", "an emoji of", "a sticker of", "a small picture of",
)  # fmt: skip
ADJECTIVES = ("nice", "cool", "clean", "cute", "weird", "good", "pretty", "dirty", "little", "big")
NUMBERS = {2: "two", 3: "three", 4: "four"}
_IRREGULAR = {"mouse": "mice", "goat": "goats", "fish": "fish", "sheep": "sheep", "deer": "deer",
              "wolf": "wolves", "knife": "knives", "die": "dice"}  # fmt: skip


def plural(words: str) -> str:
    """The plural of a short noun phrase, whose last word changes."""
    head, _, last = words.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()


def _pick(rng: Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _name(thing: Thing, use_kind: bool) -> tuple[str, bool]:
    """(name, whether it takes an article): the thing's own name, or only its kind."""
    if use_kind and thing.kind:
        return thing.kind, True
    return thing.name, thing.article


def _noun(words: str, takes_article: bool, style: str, rng: Generator) -> str:
    """The noun phrase with an article, a style and sometimes an adjective before it."""
    if rng.random() < 0.08:
        words = f"{_pick(rng, ADJECTIVES)} {words}"
    if style:
        words = f"{style} {words}"
    if not takes_article:
        return words if rng.random() < 0.8 else f"the {words}"
    chance = rng.random()
    if chance < 0.70:
        return with_article(words)
    return f"{_pick(rng, ('the', 'the', 'my', 'one', ''))} {words}".strip()


def fixed_caption(name: str, takes_article: bool, style: str, background: str) -> str:
    """The one fixed wording of the prompts that the models are measured with."""
    thing = with_article(name) if takes_article else name
    return f"a {style} of {thing} on {with_article(background)} background"


def background_words(scene: Scene) -> str:
    """As "blue" or "red and white striped"."""
    if scene.pattern:
        return f"{scene.colours[0]} and {scene.colours[1]} {scene.pattern}"
    return scene.colours[0]


def caption(scene: Scene, drawings: Drawings, rng: Generator, whole: bool = False) -> str:
    """One random wording of what the scene shows; it may leave parts out, unless `whole`."""
    things = [drawings.things[drawings.thing[row]] for row in scene.rows]
    style = STYLES[int(drawings.style[scene.rows[0]])].word
    use_kind = rng.random() < 0.12 and not whole
    say_style = rng.random() < 0.9 or whole
    say_background = rng.random() < 0.75 or whole
    form = rng.random()
    style_before = style if say_style and form < 0.35 else ""
    noun = _shown(scene, things, use_kind, style_before, rng)
    text = f"{_pick(rng, LEADS)} {noun}"
    if say_style and not style_before:
        if form < 0.55:
            text = f"{with_article(style)} of {noun}"
        elif form < 0.80:
            text = f"{text} in {style} style"
        else:
            text = f"{text} in the style of {style}"
    if scene.place and rng.random() < 0.9:
        text = f"{text} {scene.place}"
    if say_background:
        background = background_words(scene)
        text = text + _pick(rng, (
            f" on {with_article(background)} background",
            f" on {with_article(background)} background",
            f" with {with_article(background)} background",
            f", {background} background",
            f" on {background}",
        ))  # fmt: skip
    return " ".join(text.split())


def _shown(scene: Scene, things: list[Thing], use_kind: bool, style: str, rng: Generator) -> str:
    """The noun phrase for all that the scene shows: one thing, two things or copies."""
    name, takes_article = _name(things[0], use_kind)
    name = f"{scene.tint} {name}".strip()
    if scene.kind == "copies":
        count = NUMBERS[len(scene.rows)]
        if rng.random() < 0.6 and takes_article:
            return f"{count} {style} {plural(name)}"
        return f"{count} copies of {_noun(name, takes_article, style, rng)}"
    noun = _noun(name, takes_article, style, rng)
    if scene.kind == "pair":
        second = _noun(*_name(things[1], False), "", rng)
        noun = f"{noun} {_pick(rng, ('and', 'and', 'next to', 'beside'))} {second}"
    return noun
