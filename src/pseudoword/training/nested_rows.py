"""Nested rows: a word that also works with only its first rows.

In some steps a prompt has the first rows only, as in Matryoshka representations (Kusupati et al.
2022, arXiv 2205.13147) and in NeTI's nested dropout (Alaluf et al. 2023, arXiv 2305.15391). Then
one file serves crowded prompts with its first row, and shows the best likeness with all.
"""

import torch

from pseudoword.config.method import MethodSettings
from pseudoword.methods import Rows
from pseudoword.rng import generator
from pseudoword.training.state import TrainState


def rows(state: TrainState) -> Rows:
    """The rows that a concept's prompts have in its next step, attached to the graph.

    How many is a function of (seed, token, step).
    """
    every = state.method.rows(state.step)
    if not state.hyper.nested:
        return every
    source = generator(state.hyper.seed, state.data.key, state.step, "nested")
    leaves_out = float(torch.rand((), generator=source, dtype=torch.float32)) < state.hyper.nested
    most = max(map(len, every.values()))
    if not leaves_out or most == 1:
        return every
    return _first(every, int(torch.randint(1, most, (), generator=source)))


def all_lengths(every: Rows, settings: MethodSettings) -> list[Rows]:
    """All that `rows` can be for the rows of a word, from the shortest to all of them."""
    most = max(map(len, every.values()))
    counts = range(1, most + 1) if settings.nested else [most]
    return [_first(every, count) for count in counts]


def _first(every: Rows, count: int) -> Rows:
    return {key: own[:count] for key, own in every.items()}
