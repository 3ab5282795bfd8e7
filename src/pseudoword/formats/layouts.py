"""What the names in a file mean: one entry per layout, tried in order; the first that matches.

A layout is the same in every container, so kohya's bare dict is read from `.pt` and from
`.safetensors` alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats import keys, sorting
from pseudoword.formats.lookalikes import is_weight
from pseudoword.formats.loose import MOST_WORDS, Loose, concept, parameters, readable_token, texts
from pseudoword.text import brief

OURS = "pseudoword."
"""Prefix of our own metadata."""

_NO_TOKEN = ("", *keys.ANONYMOUS)

_HOLDERS = {
    *("state_dict", "embeddings", "embedding", "embeds", "emb", "learned_embeds", "params"),
    *("weights", "model", "data", "tensors", "textual_inversion", "text_encoder_embeddings"),
}
"""Names of a dict in a dict that say nothing of the word in it."""


@dataclass(frozen=True)
class Layout:
    """How one tool arranges an embedding."""

    title: str
    matches: Callable[[Loose], bool]
    read: Callable[[Loose], list[Concept]]


def bundled(loose: Loose) -> list[Concept]:
    """Embeddings inside a LoRA: `bundle_emb.<placeholder>.<key>`, OneTrainer's or A1111's, those
    that its metadata marks, or that stand beside its weights."""
    found: dict[str, dict[str, Tensor]] = {}
    plain: dict[str, Tensor] = {}
    for name in _in_lora(loose):
        tensor = loose.tensors[name]
        if not name.startswith(sorting.BUNDLE):
            plain[name] = tensor
            continue
        token, _, key = name.removeprefix(sorting.BUNDLE).rpartition(".")
        if token.endswith(".string_to_param"):
            token, key = token.removesuffix(".string_to_param"), "emb_params"
        found.setdefault(token, {})[key] = tensor
    made = [concept(loose, token, _by_encoder(tensors)) for token, tensors in found.items()]
    return made + (words(replace(loose, items=plain, metadata={})) if plain else [])


def _in_lora(loose: Loose) -> list[str]:
    shapes = {name: tuple(tensor.shape) for name, tensor in loose.tensors.items()}
    return sorting.words_in_lora(shapes, loose.metadata)


def _by_encoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A word's tensors under our names for the encoders: by their widths where keys say nothing."""
    (word, *_) = sorting.by_width(tensors) or [{}]
    if word:
        return dict(word.values())
    return {keys.encoder_of(key, sorting.width(t)) or key: t for key, t in tensors.items()}


def a1111(loose: Loose) -> list[Concept]:
    """AUTOMATIC1111's dict, and the original paper's, which may hold several words."""
    holder = loose.items.get("string_to_param")
    found = parameters(holder)
    if not found:
        raise ConceptError(f"{loose.where}: its string_to_param holds no tensor")
    provenance = texts(
        loose.items, {"step": "steps", "sd_checkpoint_name": "base", "sd_checkpoint": "base_hash"}
    )
    ours = loose.items.get("pseudoword")
    if isinstance(ours, Mapping):
        provenance = texts(ours, {key: key for key in ours if isinstance(key, str)})
    elif loose.metadata:
        provenance = {key.removeprefix(OURS): said for key, said in loose.metadata.items()}
    family, method = provenance.pop("family", None), provenance.pop("method", "classic")
    paper = isinstance(holder, torch.nn.ParameterDict)
    pairs = sorting.by_width(found) or []
    if len(pairs) == 1:
        name, vectors = loose.items.get("name"), dict(pairs[0].values())
        return [concept(loose, name, vectors, provenance=provenance, family=family, method=method)]
    words = []
    for key, tensor in found.items():
        name = loose.items.get("name")
        token = name if name and len(found) == 1 else key if paper or key != "*" else None
        if token == "*" and not paper:  # what AUTOMATIC1111 calls every word inside a file
            token = None
        vectors = {keys.of_width(sorting.width(tensor)): tensor}
        words.append(
            concept(loose, token, vectors, provenance=provenance, family=family, method=method)
        )
    return words


def native(loose: Loose) -> list[Concept]:
    """Ours: the token's name on the only tensor, or a tensor per encoder."""
    tensors = loose.tensors
    if len(tensors) == 1:
        return placeholders(loose)
    order = loose.metadata[f"{OURS}encoders"].split(",")
    if set(order) != set(tensors):
        raise ConceptError(
            f"{loose.where} is damaged: it should hold {brief(', '.join(order), 200)}"
        )
    return [_described(loose, {key: tensors[key] for key in order})]


def encoders(loose: Loose) -> list[Concept]:
    """One word: a tensor per text encoder, under anybody's names for them."""
    vectors: dict[str, Tensor] = {}
    for key, tensor in loose.tensors.items():
        encoder = keys.encoder_of(key, sorting.width(tensor))
        if encoder is None:
            continue
        if encoder in vectors:
            raise ConceptError(f"{loose.where} holds {encoder} twice: {loose.summary()}")
        vectors[encoder] = tensor
    sorting.check_no_prompt(loose)
    return [_described(loose, vectors)]


def layered(loose: Loose) -> list[Concept]:
    """kohya's XTI: rows for each of 16 cross-attention layers."""
    tensors = loose.tensors
    return [
        _described(loose, {f"clip_l.{layer}": tensors[layer] for layer in keys.LAYERS}, "layered")
    ]


def by_width(loose: Loose) -> list[Concept]:
    """Words of several encoders under any names: the widths tell which is whose."""
    words = sorting.by_width(sorting.rows_of(loose)) or []
    sorting.check_no_prompt(loose)
    if len(words) == 1:
        (vectors,) = words
        return [_described(loose, dict(vectors.values()), token=sorting.placeholder(list(vectors)))]
    tokens = [sorting.common(list(vectors)) for vectors in words]
    if len(set(tokens)) < len(tokens) or not all(tokens):
        tokens = [f"{loose.stem}-{i}" for i in range(1, len(words) + 1)]
    return [
        concept(loose, token, dict(vectors.values()))
        for token, vectors in zip(tokens, words, strict=True)
    ]


def nested(loose: Loose) -> list[Concept]:
    """Dicts in a dict: each a word, or each a text encoder, or nothing but a wrapping."""
    groups = sorting.groups(loose)
    if len(groups) == 1:
        ((name, inside),) = groups.items()
        alone = replace(loose, items=inside)
        (found, *others) = words(alone)
        if others or name in _HOLDERS or found.token != alone.stem:
            return [found, *others]
        return [replace(found, token=readable_token(name) or loose.stem)]
    if not all(sorting.is_word(inside) for inside in groups.values()):
        turned: dict[str, dict[str, Tensor]] = {}
        for outer, inside in groups.items():
            for inner, tensor in inside.items():
                turned.setdefault(inner, {})[outer] = tensor
        groups = turned
    if not all(sorting.is_word(inside) for inside in groups.values()):
        raise loose.refusal()
    found_words = [words(replace(loose, items=inside)) for inside in groups.values()]
    return [
        replace(one, token=readable_token(name) or loose.stem)
        for name, several in zip(groups, found_words, strict=True)
        for one in several
    ]


def placeholders(loose: Loose) -> list[Concept]:
    """diffusers: each tensor stands under its placeholder."""
    tensors = sorting.rows_of(loose)
    if any(is_weight(key) for key in tensors):
        raise loose.refusal()
    if len(tensors) == 1:
        ((key, tensor),) = tensors.items()
        token = None if key in _NO_TOKEN else key
        ours = loose.metadata.get(f"{OURS}encoders", "").split(",")[0]
        encoder = ours or keys.of_width(sorting.width(tensor))
        if not ours:
            sorting.check_no_prompt(loose)
        return [_described(loose, {encoder: tensor}, token=token)]
    widths = {sorting.width(tensor) for tensor in tensors.values()}
    if not tensors or len(tensors) > MOST_WORDS:
        raise loose.refusal()
    if len(widths) > 1 and not all(map(keys.known_width, widths)):
        some = ", ".join(map(str, sorted(widths)[:4]))
        raise loose.refusal(
            f"its tensors are {some} wide, as the weights of a LoRA or a model may be, and not as "
            f"wide as text encoders; {loose.summary()}"
        )
    sorting.check_no_prompt(loose)
    return [concept(loose, key, {keys.of_width(sorting.width(t)): t}) for key, t in tensors.items()]


def _described(
    loose: Loose, vectors: Mapping[str, Tensor], method: str = "classic", token: str | None = None
) -> Concept:
    """A word with what the metadata says of it: ours, or ModelSpec's."""
    ours = {k.removeprefix(OURS): v for k, v in loose.metadata.items() if k.startswith(OURS)}
    ours.pop("encoders", None)
    name = ours.pop("token", None) or token or loose.metadata.get("modelspec.trigger_phrase")
    family, method = ours.pop("family", None), ours.pop("method", method)
    made = concept(loose, name, vectors, provenance=ours, family=family, method=method)
    if f"{OURS}token" in loose.metadata and family is None:  # it was not known, and is not guessed
        return replace(made, family=None)
    return made


def _named(loose: Loose, *names: str) -> bool:
    return set(loose.tensors) == set(names)


def _all_encoders(loose: Loose) -> bool:
    tensors = loose.tensors
    return bool(tensors) and all(
        keys.encoder_of(key, sorting.width(t)) for key, t in tensors.items()
    )


def _is_onetrainer(loose: Loose) -> bool:
    theirs = {"emp_params", "t5", "gemma"}
    return _all_encoders(loose) and any(
        key in theirs or key.endswith(keys.OUTPUT) for key in loose.tensors
    )


LAYOUTS: dict[str, Layout] = {
    "native": Layout(
        "a pseudoword concept", lambda loose: f"{OURS}encoders" in loose.metadata, native
    ),
    "bundle": Layout(
        "words in a LoRA",
        lambda loose: bool(_in_lora(loose)),
        bundled,
    ),
    "paper": Layout(
        "the original paper code's embeddings",
        lambda loose: isinstance(loose.items.get("string_to_param"), torch.nn.ParameterDict),
        a1111,
    ),
    "a1111": Layout(
        "an AUTOMATIC1111 embedding",
        lambda loose: isinstance(loose.items.get("string_to_param"), Mapping),
        a1111,
    ),
    "kohya": Layout(
        "a kohya or invoke-training embedding",
        lambda loose: (
            _named(loose, "emb_params")
            or ("modelspec.architecture" in loose.metadata and _all_encoders(loose))
        ),
        encoders,
    ),
    "xti": Layout("a layered word (XTI)", lambda loose: keys.layered(loose.tensors), layered),
    "onetrainer": Layout("a OneTrainer embedding", _is_onetrainer, encoders),
    "sdxl": Layout(
        "an SDXL embedding",
        lambda loose: _named(loose, "clip_l", "clip_g"),
        encoders,
    ),
    "comfyui": Layout(
        "a ComfyUI embedding",
        _all_encoders,
        encoders,
    ),
    "pairs": Layout(
        "a word of several encoders, told by their widths",
        lambda loose: (
            not sorting.has_weights(loose) and bool(sorting.by_width(sorting.rows_of(loose)))
        ),
        by_width,
    ),
    "nested": Layout(
        "dicts in a dict",
        lambda loose: (
            not loose.tensors and not sorting.has_weights(loose) and bool(sorting.groups(loose))
        ),
        nested,
    ),
    "diffusers": Layout("a diffusers embedding", lambda _: True, placeholders),
}
"""Name -> layout, in the order in which they are tried."""


def identify(loose: Loose) -> str:
    """The name of the layout that `loose` has."""
    return next(name for name, layout in LAYOUTS.items() if layout.matches(loose))


def words(loose: Loose) -> list[Concept]:
    """Every word in the file.

    Raises:
        ConceptError: there is none, or one is broken.
    """
    return LAYOUTS[identify(loose)].read(loose)
