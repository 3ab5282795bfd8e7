"""Encode the prompts of words once, and free the text encoders, where rows go in after these.

This can be done if all prompts are known before the first step, so not if captions change at
random. What the encoders give is kept in main memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from pseudoword.data.captions import variants
from pseudoword.formats.keys import OUTPUT_SUFFIX
from pseudoword.methods import Rows
from pseudoword.models.compute.device_memory import free_memory
from pseudoword.models.compute.live_memory import nbytes
from pseudoword.models.family import Family
from pseudoword.models.reading.injection import Vectors, Words
from pseudoword.training import joint_words, other_words
from pseudoword.training.batches import TrainingData, prompt

ALWAYS_NBYTES = 64 << 20
"""The output of an encoder is kept up to this size, or up to the size of the encoder itself."""


@dataclass(frozen=True)
class PromptsOfWord:
    """What a word is learned in."""

    rows: Rows
    prompts: Sequence[str]
    """with `pack_placeholder(0)`"""
    others: Words = field(default_factory=dict)
    """placeholder -> rows of further words in them"""


def prompts_of(data: TrainingData) -> list[str] | None:
    """All prompts that a word is learned in; None if its captions change at random."""
    settings = data.captions
    kept = {(text, p.filewords) for p in data.pictures for text in variants(p.filewords, settings)}
    own = set() if settings.drop_caption == 1 else kept
    if settings.drop_caption:
        own |= {("", p.filewords) for p in data.pictures}
    if (settings.shuffle_tags or settings.drop_tags) and any(text for text, _ in own):
        return None
    found = [
        prompt(data, c, *words, 0) for c in range(len(data.templates)) for words in sorted(own)
    ]
    return [*dict.fromkeys(found)]


def keep(
    family: Family,
    words: Sequence[PromptsOfWord],
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> bool:
    """Encode all prompts of `words`; what encoders give that none of them has rows before is kept.

    `words` are all that are learned until the next call.

    Returns:
        Whether anything is kept, so that `release` will free something.
    """
    others = other_words.merged(word.others for word in words)
    own = [rows for word in words for rows in joint_words.apart(word.rows)]
    names = set(freed(family, [*own, *others.values()]))
    for key in names:
        family.encoders[key].keep()
    done, total = 0, sum(len(word.prompts) for word in words)
    for word in words:
        for text in word.prompts if names else ():
            with torch.no_grad():
                family.encode_text([text], {**joint_words.placed(0, word.rows), **word.others})
            done += 1
            for key in [key for key in names if _is_much(family, key, total / done)]:
                family.encoders[key].forget()
                names.remove(key)
            advance(done, total)
    return bool(names)


def freed(family: Family, words: Sequence[Vectors]) -> list[str]:
    """The text encoders that are not needed once the prompts of `words` are encoded."""
    return [
        key
        for key in family.encoders
        if all(key + OUTPUT_SUFFIX in rows and key not in rows for rows in words)
    ]


def release(family: Family) -> None:
    """Free the text encoders whose output is kept; they are loaded again for new prompts."""
    before = [encoder.is_loaded for encoder in family.encoders.values()]
    for encoder in family.encoders.values():
        encoder.release()
    if before != [encoder.is_loaded for encoder in family.encoders.values()]:
        free_memory()


def forget(family: Family) -> None:
    """Keep no prompts any more."""
    for encoder in family.encoders.values():
        encoder.forget()


def _is_much(family: Family, key: str, times: float) -> bool:
    """Whether `times` as much as is kept of an encoder now would be too much."""
    encoder = family.encoders[key]
    return encoder.kept_nbytes * times > max(nbytes(encoder.model), ALWAYS_NBYTES)
