"""Several new words that are learned together, as one set of rows, from the same pictures.

Captions say which of them is in a picture, so each can learn what the others do not explain. It is
the plainest form of multi-concept prompt learning (Jin et al. 2024, arXiv 2310.12274), and what
OneTrainer calls additional embeddings.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from pseudoword.methods import Rows
from pseudoword.models.reading.injection import Words
from pseudoword.placeholders import pack_placeholder

T = TypeVar("T")


def together(words: Iterable[Mapping[str, T]]) -> dict[str, T]:
    """What there is of each word, in one mapping.

    The first word keeps its keys, such as `clip_l`; those of the second become `1/clip_l`.
    """
    return {
        f"{number}/{key}" if number else key: value
        for number, word in enumerate(words)
        for key, value in word.items()
    }


def apart(found: Mapping[str, T]) -> list[dict[str, T]]:
    """What there is of each word; the inverse of `together`."""
    words: dict[str, dict[str, T]] = {}
    for key, value in found.items():
        number, _, own = key.rpartition("/")
        words.setdefault(number, {})[own] = value
    return [words[number] for number in sorted(words, key=lambda number: int(number or 0))]


def placed(k: int, rows: Rows) -> Words:
    """Placeholder -> rows, of each word of the k-th concept of a pack; nothing if it has none."""
    return {pack_placeholder(k, word): own for word, own in enumerate(apart(rows))}


def placeholders(k: int, tokens: Sequence[str]) -> dict[str, str]:
    """Token -> placeholder, of the words of the k-th concept of a pack."""
    return {token: pack_placeholder(k, word) for word, token in enumerate(tokens)}
