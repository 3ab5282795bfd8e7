"""Scores of drawn pictures: do they look like the reference, and do they follow the prompt?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from pseudoword.benchmark.artwork import Artwork
from pseudoword.benchmark.compose import COLOURS, PLACES, SINGLE_BOX, Box, Placed, compose
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.tasks import Task, TaskPrompt, in_style

PROBE_BACKGROUNDS = ("white", "teal")
"""The linear probes are fitted on every drawing on these backgrounds."""

RIDGE = 1.0
"""Of the probes, relative to the variance of the features. `benchmarks/probes.py` measures it."""


@dataclass(frozen=True)
class Score:
    """The score of one task's pictures. All are means in [0, 1]; identity is a mean cosine."""

    identity: float
    """image similarity to the reference pictures"""
    following: float
    """share of pictures that follow the prompt; each kind of prompt has the same weight"""
    recognised: float
    """share of pictures in which the learned thing is recognised: a linear probe finds its name
    among all things; for a style, the reference in that style is the most similar one"""
    kinds: dict[str, float]
    """following, by kind of prompt"""


Scores = Mapping[str, Score]
"""Scores by the task's name."""


class Scorer:
    """Scores pictures with a similarity model that was trained on all drawings.

    Backgrounds and places are read from the pixels. Styles and names are read by linear probes on
    the model's features, fitted on all true drawings. For partners, numbers and a learned style the
    most similar candidate counts; a partner is looked for on its side of the picture.
    """

    def __init__(self, model: SimilarityModel, art: Artwork, side_px: int) -> None:
        self._model = model
        self._true: dict[bytes, Tensor] = {}
        pairs = list(art.drawings)
        pictures = [
            compose(background, [Placed(art.drawings[pair], SINGLE_BOX)], side_px)
            for background in PROBE_BACKGROUNDS
            for pair in pairs
        ]
        features = model.features(pictures)
        self._name = LinearProbe(features, [name for name, _ in pairs] * len(PROBE_BACKGROUNDS))
        self._style = LinearProbe(features, [style for _, style in pairs] * len(PROBE_BACKGROUNDS))

    def score(self, task: Task, pictures: Sequence[Sequence[Image]]) -> Score:
        """Score a task; `pictures[i]` were drawn for prompt i."""
        similarities: list[float] = []
        recognised: list[bool] = []
        followed: dict[str, list[bool]] = {}
        for prompt, drawn in zip(task.prompts, pictures, strict=True):
            features = self._model.features(drawn)
            if prompt.single:
                reference = self._true_features([prompt.reference])[0]
                similarities += (features @ reference).tolist()
                if prompt.candidates:
                    recognised += self._nearest_is_first(prompt, drawn)
                else:
                    recognised += [name == prompt.thing for name in self._name(features)]
            followed.setdefault(prompt.kind, []).extend(self._follows(prompt, drawn, features))
        kinds = {kind: float(np.mean(hits)) for kind, hits in followed.items()}
        return Score(
            identity=float(np.mean(similarities)),
            following=float(np.mean(list(kinds.values()))),
            recognised=float(np.mean(recognised)),
            kinds=kinds,
        )

    def styles(self, pictures: Sequence[Image]) -> list[str]:
        """The style of each picture, as the probe reads it."""
        return self._style(self._model.features(pictures))

    def _follows(
        self, prompt: TaskPrompt, pictures: Sequence[Image], features: Tensor
    ) -> list[bool]:
        match prompt.kind:
            case "background":
                return [background_colour(p) == prompt.expected for p in pictures]
            case "place":
                return [_place(p) == prompt.expected for p in pictures]
            case "style":
                return [style == prompt.expected for style in self._style(features)]
            case "thing":
                return [name == prompt.expected for name in self._name(features)]
            case "word first" | "word last" | "copies":
                return self._nearest_is_first(prompt, pictures)

    def _nearest_is_first(self, prompt: TaskPrompt, pictures: Sequence[Image]) -> list[bool]:
        """Whether the first candidate, which is the reference, is the most similar one."""
        drawn, true = (
            [part_of(picture, prompt.compared) for picture in each]
            for each in (pictures, prompt.candidates)
        )
        similarities = self._model.features(drawn) @ self._true_features(true).T
        return [place == 0 for place in similarities.argmax(1).tolist()]

    def _true_features(self, pictures: Sequence[Image]) -> Tensor:
        """Features of true pictures `[N, D]`. Each is encoded once, for all words and variants."""
        keys = [
            sha256(repr(picture.size).encode() + picture.tobytes()).digest() for picture in pictures
        ]
        new = {key: p for key, p in zip(keys, pictures, strict=True) if key not in self._true}
        if new:
            self._true.update(zip(new, self._model.features([*new.values()]), strict=True))
        return torch.stack([self._true[key] for key in keys])


def nearest_style(
    scorer: Scorer, art: Artwork, tasks: Sequence[Task], side_px: int
) -> tuple[str, Scores]:
    """The known style that is most similar to the new style, and the scores of its true pictures.

    Perfect drawing in one known style comes as far as that.
    """
    by_style: dict[str, Scores] = {
        style: {task.name: scorer.score(*in_style(art, task, style, side_px)) for task in tasks}
        for style in art.styles
    }
    nearest = max(by_style, key=lambda style: sum(s.identity for s in by_style[style].values()))
    return nearest, by_style[nearest]


class LinearProbe:
    """A linear classifier fitted by ridge regression on one-hot labels."""

    def __init__(self, features: Tensor, labels: Sequence[str], ridge: float = RIDGE) -> None:
        self._labels = sorted(set(labels))
        one_hot = torch.zeros(len(labels), len(self._labels), dtype=torch.float32)
        one_hot[range(len(labels)), [self._labels.index(label) for label in labels]] = 1.0
        self._mean = features.mean(0)
        x = features - self._mean
        gram = x.T @ x / len(x) + ridge * x.var(0).mean() * torch.eye(
            x.shape[1], dtype=torch.float32
        )
        self._weight = torch.linalg.solve(gram, x.T @ (one_hot - one_hot.mean(0)) / len(x))
        self._bias = one_hot.mean(0)

    def __call__(self, features: Tensor) -> list[str]:
        """The label of each of `[N, D]`."""
        scores = (features - self._mean) @ self._weight + self._bias
        return [self._labels[i] for i in scores.argmax(1).tolist()]


def part_of(picture: Image, box: Box | None) -> Image:
    """The part of a square picture inside `box`; for None, all of it."""
    if box is None:
        return picture
    x, y, side = (fraction * picture.width for fraction in box)
    left, top = (round(max(0.0, min(at - side / 2, picture.width - side))) for at in (x, y))
    return picture.crop((left, top, left + round(side), top + round(side)))


def background_colour(picture: Image) -> str:
    """The named colour nearest to the median of the picture's corners."""
    corners = _corner_colour(np.asarray(picture.convert("RGB"), np.float32))
    return min(COLOURS, key=lambda word: float(np.abs(np.array(COLOURS[word]) - corners).sum()))


def _corner_colour(pixels: np.ndarray) -> np.ndarray:
    """Median colour `[3]` of the corners of `[H, W, 3]`."""
    side = len(pixels) // 8
    corners = [
        pixels[y, x]
        for y in (slice(side), slice(-side, None))
        for x in (slice(side), slice(-side, None))
    ]
    median: np.ndarray = np.median(np.concatenate([c.reshape(-1, 3) for c in corners]), 0)
    return median


def _place(picture: Image) -> str:
    """The named place nearest to the centre of all that is not background."""
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    thing = np.abs(pixels - _corner_colour(pixels)).sum(2) > 60
    if not thing.any():
        return "nowhere"
    y, x = (np.nonzero(thing)[axis].mean() / len(pixels) for axis in (0, 1))
    places = {"in the middle": (0.5, 0.5, 0.0), **PLACES}
    return min(places, key=lambda word: float(np.hypot(places[word][0] - x, places[word][1] - y)))
