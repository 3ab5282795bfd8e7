"""Which known word fits the pictures best: the one by which the base model denoises them best.

Such a model is a classifier (Li et al. 2023, arXiv 2303.16203): of several words in a caption, the
right one has the lowest loss. All words are measured with the same pictures, noise and timesteps,
so the difference between two of them needs few samples.
"""

import math
from collections.abc import Callable, Sequence

from pseudoword.methods import Rows
from pseudoword.models.family import Family
from pseudoword.training import initialisation, joint_words
from pseudoword.training.batches import TrainingData, fixed
from pseudoword.training.early_stopping import evaluation_losses
from pseudoword.training.joint_batches import room

GENERAL = (
    *("person", "face", "animal", "plant", "fruit", "vegetable", "food", "drink", "clothing"),
    *("tool", "instrument", "toy", "ball", "vehicle", "building", "furniture", "sky", "symbol"),
)
"""Kinds of things. A word for a kind that does not fit costs less than a name that does not."""

SAMPLES = 8
"""For each word."""


def candidates(init: str) -> list[str]:
    """The words in `init`, which are separated by commas; of a single one, also `GENERAL` ones."""
    own = [word for word in map(str.strip, init.split(",")) if word]
    return list(dict.fromkeys(own if len(own) > 1 else [*own, *GENERAL]))


def nearest(
    family: Family,
    data: TrainingData,
    words: Sequence[str],
    vectors: Sequence[int],
    further: Sequence[Rows] = (),
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[tuple[float, str]]:
    """The loss of each of the known `words` on the pictures, and the word; the best one is first.

    Each fills its number of `vectors`. `further` are the rows of the words that are learned with
    it, as they begin.

    Raises:
        SettingsError: a word has no tokens.
    """
    samples = fixed(family, data, SAMPLES)
    starts = [
        initialisation.rows_of_words(family, word, "nearest", count)
        for word, count in zip(words, vectors, strict=True)
    ]
    losses: list[float] = []
    size = room(samples[0])
    for first in range(0, len(words), size):
        some = [
            {
                key: rows.to(family.device)
                for key, rows in joint_words.together([own, *further]).items()
            }
            for own in starts[first : first + size]
        ]
        losses += evaluation_losses(family, [(rows, samples) for rows in some])
        tick(len(losses), len(words))
    found = zip(losses, words, strict=True)
    return sorted(found, key=lambda one: (math.isnan(one[0]), one[0]))  # after an overflow: last
