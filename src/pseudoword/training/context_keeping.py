"""Keep what the other words of a prompt mean: they stay as they are beside the initial word.

A text encoder mixes the words of a prompt. So while a new word learns, it also changes what the
denoiser reads at the *other* tokens, and a dog beside it is no longer drawn. The loss here needs
the text encoders only. It is a part of CoRe (Wu et al. 2024, arXiv 2408.15914).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pseudoword.formats.keys import is_layered
from pseudoword.models.family import Family
from pseudoword.models.reading.injection import Words, rows_of
from pseudoword.models.reading.prompts import Tokenized
from pseudoword.models.reading.text_encoder import TextEncoder
from pseudoword.rng import generator
from pseudoword.training import joint_words
from pseudoword.training.loss import Batch
from pseudoword.training.state import TrainState

TEMPLATES = (
    "a {word} and a {thing}",
    "a {word} next to a {thing}",
    "a {word} beside a {thing}",
    "a {word} with a {thing}",
)
"""The word comes first, because most text encoders read from left to right: it does not change
what was before it."""

THINGS = (
    *("cat", "dog", "bird", "horse", "fish", "flower", "tree", "apple", "cake", "cup", "bottle"),
    *("chair", "table", "lamp", "book", "ball", "hat", "shoe", "car", "boat", "train", "house"),
)


def add_gradients(
    family: Family,
    states: Sequence[TrainState],
    batch: Batch,
    scale: float,
    part: int,
) -> None:
    """Add the gradient of each concept's weighted `drift`, times `scale`, to its parameters'.

    Concepts of the `batch` whose settings do not ask for it are left out. It is that `part` of the
    step's batches, counted from 0.
    """
    keeping = [k for k, state in enumerate(states) if state.hyper.keep_context]
    if not keeping:
        return
    count = len(batch.prompts) // len(states)
    texts, words, initial, weights = [], {**batch.others}, {**batch.others}, []
    for k in keeping:
        state = states[k]
        own = joint_words.placed(k, state.method.rows(state.step))
        texts += prompts(state, [*own], batch.prompts[k * count : (k + 1) * count], part)
        words |= own
        initial |= joint_words.placed(k, state.data.initial)
        weights.append(state.hyper.keep_context / state.hyper.accumulate)
    each = drift(family, words, initial, texts).view(len(keeping), -1).mean(1)
    (each @ torch.tensor(weights, device=family.device, dtype=torch.float32) * scale).backward()


def prompts(
    state: TrainState, placeholders: Sequence[str], learned: Sequence[str], part: int = 0
) -> list[str]:
    """As many prompts as `learned` for a batch of the next step.

    They are a function of (seed, token, step), and those of all batches those of one large batch.
    About half of them name another thing beside one of the concept's words. The others are of
    those that it learns from: their styles and backgrounds are to stay what they are, too.
    """
    source = generator(state.hyper.seed, state.data.key, state.step, "context")
    every = len(learned) * state.hyper.accumulate
    own = slice(part * len(learned), (part + 1) * len(learned))
    with_thing = torch.rand(every, generator=source, dtype=torch.float32)[own] < 0.5
    templates = torch.randint(len(TEMPLATES), (every,), generator=source)[own]
    things = torch.randint(len(THINGS), (every,), generator=source)[own]
    words = torch.randint(len(placeholders), (every,), generator=source)[own]
    return [
        TEMPLATES[template].format(word=placeholders[word], thing=THINGS[thing])
        if other
        else prompt
        for prompt, other, template, thing, word in zip(
            learned, with_thing, templates, things, words, strict=True
        )
    ]


def drift(family: Family, words: Words, initial: Words, texts: Sequence[str]) -> Tensor:
    """How much the other tokens of `texts` change from the `initial` words to `words`, `[B]`.

    It is the mean square of the change of the text encoders' last hidden states, relative to their
    own mean square. Left out are the word's tokens, begin and end tokens (the end stands for the
    whole prompt), and those of a template around the prompts: they are many, do not change before
    the word, and the first state of a language model is far larger than the others.

    Both have as many rows for each placeholder. No gradient reaches the `initial` ones.
    """
    layers = family.layers if any(map(is_layered, [*words.values(), *initial.values()])) else ()
    changes = []
    for key, encoder in family.encoders.items():
        new = encoder(texts, rows_of(words, key, layers))
        with torch.no_grad():
            old = encoder(texts, rows_of(initial, key, layers))
        before, after = (one.part("last_hidden_state").float() for one in (old, new))
        counted = others(new.tokens, encoder).unsqueeze(-1)
        change, whole = (
            (states.square() * counted).sum((1, 2)) for states in (after - before, before)
        )
        change = change / whole.clamp(min=torch.finfo(whole.dtype).tiny)
        changes.append(change.view(-1, len(texts)).mean(0))  # over layers
    return torch.stack(changes).mean(0)


def others(tokens: Tokenized, encoder: TextEncoder) -> Tensor:
    """Which positions are other words of the prompts, `[B, L]`.

    Begin and end tokens, and those of a template, are what an empty prompt has too.
    """
    empty, _ = encoder.reader.sequence("", {})
    around = torch.tensor(empty or [-1], device=tokens.ids.device)  # -1 is no token
    read = tokens.mask > 0
    plain = read & (tokens.slots < 0)
    place = read.cumsum(1) - 1  # among the tokens that are read

    def alike(place: Tensor, known: Tensor) -> Tensor:
        same = tokens.ids == around[place.clamp(0, len(around) - 1)]
        return (~read | plain & known & same).int()

    before = alike(place, place < len(around)).cumprod(1) > 0
    left = len(around) - (before & read).sum(1, keepdim=True)
    to_end = read.sum(1, keepdim=True) - 1 - place
    behind = alike(len(around) - 1 - to_end, to_end < left).flip(1).cumprod(1).flip(1) > 0
    return plain & ~before & ~behind
