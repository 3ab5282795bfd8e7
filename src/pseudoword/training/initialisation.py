"""The initial rows of a new word: from words, random, or from a concept file."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pseudoword import formats, lookup
from pseudoword.concept import Concept
from pseudoword.config import InitMode
from pseudoword.config.fields import AUTO, Auto
from pseudoword.config.word import NewWord
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.formats import layered_rows, sources
from pseudoword.formats.keys import OUTPUT_SUFFIX, is_output
from pseudoword.methods import METHODS, Initialisation
from pseudoword.models import toward
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.family import Family
from pseudoword.models.reading.text_encoder import TextEncoder, watched
from pseudoword.placeholders import delimited
from pseudoword.rng import generator
from pseudoword.training import joint_words, suggestions


def named_concept(word: NewWord) -> Concept | None:
    """The concept that `init` names, to continue from; None if `init` is words, or not used.

    Raises:
        ConceptError: `init` looks like a path or a hub id, but is not there or not a concept.
        SettingsError: `init` looks like a path or a hub id, but `init_mode` takes words.
    """
    return sources.read_one(word.init, flag=word.flag) if word.names_concept() else None


def mode_of(word: NewWord) -> str:
    """How it starts; for `auto`, `file` if it names a concept, else `words`, as for `nearest`."""
    if word.init_mode == "nearest":
        return "words"
    if word.init_mode != "auto":
        return word.init_mode
    return "words" if named_concept(word) is None else "file"


def check(
    word: NewWord, vectors: int | Auto, method: str = "classic", *, output: bool = False
) -> str | None:
    """Check what a word starts from, as far as this is possible without a model.

    Returns:
        A note for the user, if words were taken although there is a file of that name.

    Raises:
        ConceptError: as `named_concept`; or the concept has rows for each layer alone, and
            `method` cannot go on from such; or it is for the output of a text encoder, and the
            word is not.
        SettingsError: as `named_concept`; or a concept has more or fewer vectors than asked for.
    """
    concept, given = named_concept(word), lookup.argument_text(word.flag, word.init)
    if concept is None:
        path, random = Path(word.init), word.init_mode == "random"
        same_name = not random and lookup.exists(path) and formats.is_concept(path)
        return f"{given} is a word; write ./{word.init} for the file here" if same_name else None
    if not (METHODS[method].goes_on_from_layers or layered_rows.for_all(concept.vectors)):
        raise ConceptError(
            f"{given} is a layered word. Continue it with --method layered, or make "
            "it an ordinary word with `pseudoword convert` first."
        )
    if is_output(concept.vectors) and not output:
        raise ConceptError(
            f"{given} is an output embedding. Continue it with --output-embedding; "
            "an ordinary word cannot be made of it."
        )
    counts = {len(rows) for rows in concept.vectors.values()}
    if vectors is not AUTO and counts != {vectors}:
        raise SettingsError(
            f"--vectors {vectors}: {given} has {max(counts)}, and keeps them. "
            "Leave --vectors out, or start from words."
        )
    return None


def initial_rows(
    family: Family, word: NewWord, vectors: int, seed: int, *, output: bool = False
) -> Mapping[str, Tensor]:
    """The initial rows of `word`, `[vectors, width]` float32 per text encoder.

    `rows` gives each row one token of `init` in turn, as kohya's sd-scripts do; `mean` gives every
    row their mean; `random` samples rows with the mean and standard deviation of the vocabulary;
    `file` takes the rows of a concept, however many it has. `auto` is `file` if `init` names a
    concept (`named_concept`), else `rows` if there are enough vectors, else `mean`. So is
    `nearest`, of the one word that was chosen before (`nearest_word`). `cross` takes what the text
    encoders make of the rows of `auto`, as long as these (`cross_rows`). With `output`, it is what
    the text encoders make of all this (`output_rows`).

    Raises:
        SettingsError: `init` is empty, or has more tokens than there are vectors to hold them; or
            the model has no place for output rows, or no states for `cross`.
        ConceptError: the concept cannot be read, or is not compatible with the model.
    """
    rows: Mapping[str, Tensor]
    concept = named_concept(word)
    if concept is not None:
        check_compatible(concept, family, whole=True)
        rows = {
            key: own
            for key, own in concept.vectors.items()
            if key + OUTPUT_SUFFIX not in concept.vectors  # zeros beside the rows for the output
        }
    elif word.init_mode == "random":
        rows = {
            key: _random(encoder, vectors, f"{seed}/{word.token}/{key}")
            for key, encoder in family.encoders.items()
        }
    else:
        rows = rows_of_words(family, word.init, word.init_mode, vectors, word.flag)
    if output and not is_output(rows):
        return output_rows(family, layered_rows.for_all(rows))
    return rows


def output_rows(family: Family, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the text encoders make of a word with these `rows`: their states at its positions.

    Of an encoder of which the denoiser reads only the pooled text, the rows stay as they are.

    Raises:
        SettingsError: the denoiser reads other states than one of the encoder's for each token.
    """
    states = _states(family, rows, "--output-embedding")
    return {
        key + OUTPUT_SUFFIX if key in states else key: states.get(key, own)
        for key, own in rows.items()
    }


def cross_rows(family: Family, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the text encoders make of a word with these `rows`, as new rows of the same length.

    After training, a row is more like the encoder's output for the word than like any row of the
    vocabulary. So it is nearer to its goal if it begins there (Cross Initialization, Pang et al.
    2024, arXiv 2312.15905). States are far longer than rows, so their length is not taken.

    Of an encoder of which the denoiser reads only the pooled text, the rows stay as they are.

    Raises:
        SettingsError: the denoiser reads other states than one of the encoder's for each token.
    """
    states = _states(family, rows, "--init-mode cross")
    return {
        key: normalize(states[key], dim=-1) * own.norm(dim=-1, keepdim=True)
        if key in states
        else own
        for key, own in rows.items()
    }


@torch.no_grad()
def _states(family: Family, rows: Mapping[str, Tensor], flag: str) -> dict[str, Tensor]:
    """The states of a word with these `rows` in a prompt, float32 `[n, width]` on the CPU.

    The key of each text encoder of which the denoiser reads them -> its states.
    """
    word = delimited(0)
    with watched(family.encoders) as states:
        family.encode_text([f"a photo of {word}"], {word: rows})
    fit = [own.shape[1] == family.encoders[key].width for key, own in states.items()]
    if not fit or not all(fit):
        raise SettingsError(
            f"{flag} does not work with {family.source.name}: its denoiser does not "
            "read one state of the text encoder for each token. Leave it out."
        )
    return {key: own.float().cpu() for key, own in states.items()}


def rows_of_words(
    family: Family, words: str, mode: InitMode, vectors: int, flag: str = "--init"
) -> Mapping[str, Tensor]:
    """`initial_rows` of words, whatever files there are; `flag` is where the user gave them.

    Raises:
        SettingsError: as `initial_rows`.
    """
    rows = {
        key: _from_words(encoder, words, mode, vectors, flag)
        for key, encoder in family.encoders.items()
    }
    return cross_rows(family, rows) if mode == "cross" else rows


def turn(family: Family, concept: Concept, share: float, word: str | None = None) -> Concept:
    """`concept`, turned by `share` (0 to 1) of the angle to the rows that it began as.

    A concept that does not say what it began as is turned to the known `word`.

    Raises:
        ConceptError: no such word is known.
        SettingsError: `word` has no tokens.
    """
    if not share:
        return concept
    words, mode = toward.words_behind(concept, word)
    vectors = concept.length
    how: InitMode = "mean" if mode == "mean" else "cross" if mode == "cross" else "auto"
    goals = rows_of_words(family, words, how, vectors, "--toward-word")
    if is_output(concept.vectors):
        goals = output_rows(family, goals)
    return toward.turned(concept, goals, share)


def begin(family: Family, rows: Mapping[str, Tensor]) -> Initialisation:
    """What a method needs to know to begin at `rows` `[n, width]`, of one or more words.

    Numbers in T5's rows are hundreds of times larger than in CLIP's. One learning rate would break
    the one or leave the other where it is. So an encoder whose numbers are of another order than
    the first one's has a scale, a power of eight: multiplying with it is exact. States have no
    vocabulary; those that the word begins as are the usual ones.
    """
    words = [_usual(family, own) for own in joint_words.apart(rows) or [{}]]
    return Initialisation(
        rows,
        joint_words.together(norms for norms, _, _ in words),
        words[0][1],
        family.layers,
        family.device,
        joint_words.together(scales for _, _, scales in words),
    )


def _usual(
    family: Family, rows: Mapping[str, Tensor]
) -> tuple[dict[str, float], float, dict[str, float]]:
    """Of one word: the usual norms, the usual size of a number, and the scales (`begin`)."""
    usual, sizes = {}, {}
    for key, encoder in family.encoders.items():
        own = rows.get(key + OUTPUT_SUFFIX)
        name = key if own is None else key + OUTPUT_SUFFIX
        usual[name] = encoder.median_norm if own is None else float(own.norm(dim=-1).mean())
        sizes[name] = usual[name] / math.sqrt(encoder.width)
    first, *_ = sizes.values()
    scales = {key: _power_of_eight(size, first) for key, size in sizes.items()}
    alike = [size for key, size in sizes.items() if scales[key] == 1]
    return usual, sum(alike) / len(alike), scales


def _power_of_eight(size: float, first: float) -> float:
    """The one nearest to the ratio of two sizes; 1 if one of them is 0."""
    return 8.0 ** round(math.log(size / first, 8)) if size and first else 1.0


def vector_count(family: Family, init: str, pictures: int) -> int:
    """The number of vectors for `--vectors auto`.

    It is the number that suits so many pictures, or one for each token of `init`, if those are
    more.
    """
    tokens = max(len(encoder.reader.token_ids(init)) for encoder in family.encoders.values())
    return max(min(tokens, suggestions.MOST_VECTORS), suggestions.vectors(pictures))


def _from_words(encoder: TextEncoder, init: str, mode: InitMode, vectors: int, flag: str) -> Tensor:
    ids, given = encoder.reader.token_ids(init), lookup.argument_text(flag, repr(init))
    if not ids:
        raise SettingsError(f"{given} has no tokens. Give a word such as 'cat' or 'toy'.")
    words = encoder.embeddings(ids).float().cpu()
    if mode == "mean" or (mode != "rows" and len(ids) > vectors):
        return words.mean(0, keepdim=True).repeat(vectors, 1)
    if len(ids) > vectors:
        raise SettingsError(
            f"{given} has {len(ids)} tokens but --vectors is {vectors}. "
            f"Use --vectors {len(ids)}, --init-mode mean, or a shorter word."
        )
    return words[torch.arange(vectors) % len(ids)]


def _random(encoder: TextEncoder, vectors: int, key: str) -> Tensor:
    table = encoder.table.detach().float().cpu()
    noise = torch.randn(
        vectors, table.shape[1], generator=generator("start", key), dtype=torch.float32
    )
    return table.mean(0) + table.std(0) * noise
