"""How good an answer is: does it look like the true thing, and is what was asked for there?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from pseudoword.benchmark.artwork import Artwork
from pseudoword.benchmark.compose import COLOURS, PLACES, WHOLE, Placed, compose
from pseudoword.benchmark.image_similarity import Judge
from pseudoword.benchmark.tasks import Paper, Question

PROBED_ON = ("white", "teal")
"""The probes are fitted on every drawing before these backgrounds."""

RIDGE = 1e-2


@dataclass(frozen=True)
class Marks:
    """Of the pictures drawn for one paper; all are means in [0, 1] (identity: cosines)."""

    identity: float
    """nearness to the true pictures, as the judge sees both"""
    following: float
    """share of what was asked that is there; each kind of question counts the same"""
    recognised: float
    """share of pictures in which what was learned is told: a linear probe names the thing among
    all that there are; or of the true pictures in all styles, the learned one's is nearest"""
    kinds: dict[str, float]
    """following by kind of question"""


class Marker:
    """Marks papers with a judge that has seen all drawings.

    Backgrounds and places are read from the pixels. Styles and names are read by linear probes on
    the judge's features, fitted on the true drawings. Partners, numbers and a learned style: which
    of the true compositions is nearest?
    """

    def __init__(self, judge: Judge, art: Artwork, side_px: int) -> None:
        self._judge = judge
        pairs = list(art.drawings)
        pictures = [
            compose(ground, [Placed(art.drawings[pair], WHOLE)], side_px)
            for ground in PROBED_ON
            for pair in pairs
        ]
        features = judge.features(pictures)
        self._name = _Probe(features, [name for name, _ in pairs] * len(PROBED_ON))
        self._style = _Probe(features, [style for _, style in pairs] * len(PROBED_ON))

    def mark(self, paper: Paper, drawn: Sequence[Sequence[Image]]) -> Marks:
        """`drawn[i]` are the pictures for question i."""
        near: list[float] = []
        told: list[bool] = []
        followed: dict[str, list[bool]] = {}
        for question, pictures in zip(paper.questions, drawn, strict=True):
            seen = self._judge.features(pictures)
            if question.alone:
                near += (seen @ self._judge.features([question.truth])[0]).tolist()
                if question.kind == "thing":
                    told += self._nearest(question, seen)
                else:
                    told += [name == question.thing for name in self._name(seen)]
            followed.setdefault(question.kind, []).extend(self._followed(question, pictures, seen))
        kinds = {kind: float(np.mean(hits)) for kind, hits in followed.items()}
        return Marks(
            identity=float(np.mean(near)),
            following=float(np.mean(list(kinds.values()))),
            recognised=float(np.mean(told)),
            kinds=kinds,
        )

    def _followed(self, question: Question, pictures: Sequence[Image], seen: Tensor) -> list[bool]:
        match question.kind:
            case "background":
                return [ground_colour(p) == question.asked for p in pictures]
            case "place":
                return [_place(p) == question.asked for p in pictures]
            case "style":
                return [style == question.asked for style in self._style(seen)]
            case "thing":
                return [name == question.asked for name in self._name(seen)]
            case "pair" | "copies":
                return self._nearest(question, seen)

    def _nearest(self, question: Question, seen: Tensor) -> list[bool]:
        """Whether the first of the choices, which is the truth, is the nearest."""
        nearest = (seen @ self._judge.features(question.choices).T).argmax(1)
        return [choice == 0 for choice in nearest.tolist()]


class _Probe:
    """A linear classifier fitted by ridge regression on one-hot labels."""

    def __init__(self, features: Tensor, labels: Sequence[str]) -> None:
        self._labels = sorted(set(labels))
        wanted = torch.zeros(len(labels), len(self._labels))
        wanted[range(len(labels)), [self._labels.index(label) for label in labels]] = 1.0
        self._mean = features.mean(0)
        x = features - self._mean
        gram = x.T @ x / len(x) + RIDGE * x.var(0).mean() * torch.eye(x.shape[1])
        self._weight = torch.linalg.solve(gram, x.T @ (wanted - wanted.mean(0)) / len(x))
        self._bias = wanted.mean(0)

    def __call__(self, features: Tensor) -> list[str]:
        scores = (features - self._mean) @ self._weight + self._bias
        return [self._labels[i] for i in scores.argmax(1).tolist()]


def ground_colour(picture: Image) -> str:
    """The named colour nearest to the median of the picture's corners."""
    middle = _ground(np.asarray(picture.convert("RGB"), np.float32))
    return min(COLOURS, key=lambda word: float(np.abs(np.array(COLOURS[word]) - middle).sum()))


def _ground(pixels: np.ndarray) -> np.ndarray:
    """Median colour `[3]` of the corners of `[H, W, 3]`."""
    side = len(pixels) // 8
    corners = [
        pixels[y, x]
        for y in (slice(side), slice(-side, None))
        for x in (slice(side), slice(-side, None))
    ]
    middle: np.ndarray = np.median(np.concatenate([c.reshape(-1, 3) for c in corners]), 0)
    return middle


def _place(picture: Image) -> str:
    """The named place nearest to the middle of all that is not background."""
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    thing = np.abs(pixels - _ground(pixels)).sum(2) > 60
    if not thing.any():
        return "nowhere"
    y, x = (np.nonzero(thing)[axis].mean() / len(pixels) for axis in (0, 1))
    places = {"in the middle": (0.5, 0.5, 0.0), **PLACES}
    return min(places, key=lambda word: float(np.hypot(places[word][0] - x, places[word][1] - y)))
