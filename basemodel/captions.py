"""Words for scenes: varied wording over style, thing, background, place and count."""

from __future__ import annotations

from numpy.random import Generator

from basemodel.pictures import Artwork
from basemodel.scenes import Scene
from basemodel.world import STYLES, Thing
from pseudoword.benchmark.compose import article

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
    """The plural of a short noun phrase: its last word's."""
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


def _name(thing: Thing, hypernym: bool) -> tuple[str, bool]:
    """(words, takes an article): the thing's own name, or now and then only its kind."""
    if hypernym and thing.kind:
        return thing.kind, True
    return thing.words, thing.article


def _noun(words: str, takes_article: bool, style: str, rng: Generator) -> str:
    """The noun phrase with its determiner, style and perhaps an adjective in front."""
    if rng.random() < 0.08:
        words = f"{_pick(rng, ADJECTIVES)} {words}"
    if style:
        words = f"{style} {words}"
    if not takes_article:
        return words if rng.random() < 0.8 else f"the {words}"
    chance = rng.random()
    if chance < 0.70:
        return f"{article(words)} {words}"
    return f"{_pick(rng, ('the', 'the', 'my', 'one', ''))} {words}".strip()


def background_words(scene: Scene) -> str:
    """ "blue", "red and white striped"."""
    if scene.pattern:
        return f"{scene.colours[0]} and {scene.colours[1]} {scene.pattern}"
    return scene.colours[0]


def caption(scene: Scene, art: Artwork, rng: Generator, whole: bool = False) -> str:
    """One way to say what the scene shows. Leaves parts unsaid now and then, unless `whole`."""
    things = [art.things[art.thing[row]] for row in scene.rows]
    style = STYLES[int(art.style[scene.rows[0]])].word
    hypernym = rng.random() < 0.12 and not whole
    say_style = rng.random() < 0.9 or whole
    say_ground = rng.random() < 0.75 or whole
    form = rng.random()
    front = style if say_style and form < 0.35 else ""
    words, takes_article = _name(things[0], hypernym)
    words = f"{scene.tint} {words}".strip()
    if scene.kind == "copies":
        count = NUMBERS[len(scene.rows)]
        if rng.random() < 0.6 and takes_article:
            noun = f"{count} {front} {plural(words)}"
        else:
            noun = f"{count} copies of {_noun(words, takes_article, front, rng)}"
    else:
        noun = _noun(words, takes_article, front, rng)
        if scene.kind == "pair":
            second = _noun(*_name(things[1], False), "", rng)
            noun = f"{noun} {_pick(rng, ('and', 'and', 'next to', 'beside'))} {second}"
    text = f"{_pick(rng, LEADS)} {noun}"
    if say_style and not front:
        if form < 0.55:
            text = f"{article(style)} {style} of {noun}"
        elif form < 0.80:
            text = f"{text} in {style} style"
        else:
            text = f"{text} in the style of {style}"
    if scene.place and rng.random() < 0.9:
        text = f"{text} {scene.place}"
    if say_ground:
        ground = background_words(scene)
        text = text + _pick(rng, (
            f" on {article(ground)} {ground} background",
            f" on {article(ground)} {ground} background",
            f" with {article(ground)} {ground} background",
            f", {ground} background",
            f" on {ground}",
        ))  # fmt: skip
    return " ".join(text.split())
