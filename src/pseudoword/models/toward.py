"""Turn a learned word towards the known word it began as, so that it obeys the prompt more.

The idea is from "Test-time Embedding Adjustment" (2025, arXiv 2506.22685). The length of the rows
is kept here; only their direction changes.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.lookup import looks_like_path


def init_words(concept: Concept) -> str:
    """The words that learning began from; empty if the file does not name any."""
    facts = concept.provenance
    words = "" if facts.get("init_mode") in ("file", "random") else facts.get("init", "")
    return "" if looks_like_path(words) else words


def words_behind(concept: Concept, otherwise: str | None) -> tuple[str, str]:
    """The words that `concept` began as, and its `init_mode`; else the words `otherwise`.

    Raises:
        ConceptError: neither is known.
    """
    mode = concept.provenance.get("init_mode", "")
    if known := init_words(concept):
        return known, mode
    if otherwise is not None:
        return otherwise, "words"
    why = "began at random vectors" if mode == "random" else "does not say which word it began as"
    raise ConceptError(
        f"--toward: {concept.token} {why}. Name a known word that is like it, such as "
        "--toward-word dog, or leave --toward out."
    )


def turned(concept: Concept, goals: Mapping[str, Tensor], share: float) -> Concept:
    """Turn each row of `concept` by `share` of its angle to its goal; its length is kept.

    Args:
        concept: the word; each layer of a layered one is turned to the same goal.
        goals: per text encoder `[n, width]`, a goal for each row, or more.
        share: from 0, its own direction, to 1, the direction of the goal.
    """
    vectors = {
        key: _slerp(rows, goals[_without_layer(key)][: len(rows)], share)
        for key, rows in concept.vectors.items()
        if _without_layer(key) in goals
    }
    return replace(concept, vectors={**concept.vectors, **vectors})


def _without_layer(key: str) -> str:
    return key.partition(".")[0]


def _slerp(rows: Tensor, goals: Tensor, share: float) -> Tensor:
    """Spherical interpolation of directions, `[n, width]`, in the plane of the row and its goal."""
    old, goal = normalize(rows.double(), dim=-1), normalize(goals.double(), dim=-1)
    along = (old * goal).sum(-1, keepdim=True)
    across = goal - along * old
    angle = share * torch.atan2(across.norm(dim=-1, keepdim=True), along)
    new = angle.cos() * old + angle.sin() * normalize(across, dim=-1)
    length: Tensor = rows.double().norm(dim=-1, keepdim=True)
    return (length * new).float()
