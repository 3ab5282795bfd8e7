"""Batches of several words that take no step, as few larger ones.

A base model computes many samples in less time than the same samples in several batches. Each word
keeps its own numbers: see `batch_invariance`.
"""

import math
from collections.abc import Iterator, Sequence

import torch

from pseudoword.formats.keys import is_layered
from pseudoword.methods import Rows
from pseudoword.placeholders import renumbered
from pseudoword.training import other_words
from pseudoword.training.loss import Batch

POSITIONS = 4096
"""Latent positions of a joint batch for which there is always room: those of one picture of
512 px. Batches are larger where the words' own steps are."""


def joined(
    parts: Sequence[tuple[int, Batch]], rows: Sequence[Rows]
) -> Iterator[tuple[list[int], Batch]]:
    """Join batches into larger ones of about the same size, which are no larger than a step's.

    Words that are read once and words that are read for each layer are not joined (`batches`).

    Args:
        parts: the index of a word, and samples of it in which its placeholder is that of index 0.
            All have the same number of samples; a step of a word has as many.
        rows: of each word.

    Yields:
        The indices of the parts that are in a joint batch, and the batch. There, the placeholder
        of each word is that of its index.
    """
    words = len({word for word, _ in parts})
    kinds = [(part.latents.shape, is_layered(rows[word])) for word, part in parts]
    for kind in dict.fromkeys(kinds):
        alike = [i for i, one in enumerate(kinds) if one == kind]
        most = max(words, room(parts[alike[0]][1]))
        pieces = math.ceil(len(alike) / most)
        for piece in range(pieces):
            some = alike[piece * len(alike) // pieces : (piece + 1) * len(alike) // pieces]
            yield some, _join([parts[i] for i in some])


def room(part: Batch) -> int:
    """How many batches like `part` fit into a joint one of `POSITIONS`; at least one."""
    samples, *_, high, wide = part.latents.shape
    return max(POSITIONS // (high * wide * samples), 1)


def _join(parts: Sequence[tuple[int, Batch]]) -> Batch:
    """The samples of all parts, which have latents of one shape."""
    prompts = [renumbered(prompt, 0, word) for word, part in parts for prompt in part.prompts]
    every = [part.tensors for _, part in parts]
    tensors = {name: torch.cat([one[name] for one in every]) for name in every[0]}
    others = other_words.merged(part.others for _, part in parts)
    return Batch(prompts, others=others, **tensors)
