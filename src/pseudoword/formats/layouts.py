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
from pseudoword.formats import grouping, keys
from pseudoword.formats.file_kinds import is_network_weight
from pseudoword.formats.raw_content import (
    MOST_WORDS,
    RawContent,
    make_concept,
    parameter_tensors,
    plain_values,
    valid_token,
)
from pseudoword.text import brief

METADATA_PREFIX = "pseudoword."
"""Prefix of our own metadata."""

_NO_TOKEN = ("", *keys.UNNAMED)

_HOLDERS = {
    *("state_dict", "embeddings", "embedding", "embeds", "emb", "learned_embeds", "params"),
    *("weights", "model", "data", "tensors", "textual_inversion", "text_encoder_embeddings"),
}
"""Names of a dict in a dict that say nothing of the word in it."""


@dataclass(frozen=True)
class Layout:
    """How one tool arranges an embedding."""

    title: str
    matches: Callable[[RawContent], bool]
    read: Callable[[RawContent], list[Concept]]


def read_bundle(raw: RawContent) -> list[Concept]:
    """Embeddings inside a LoRA: `bundle_emb.<placeholder>.<key>`, OneTrainer's or A1111's, those
    that its metadata marks, or that stand beside its weights."""
    found: dict[str, dict[str, Tensor]] = {}
    plain: dict[str, Tensor] = {}
    for name in _names_in_lora(raw):
        tensor = raw.tensors[name]
        if not name.startswith(grouping.BUNDLE_PREFIX):
            plain[name] = tensor
            continue
        token, _, key = name.removeprefix(grouping.BUNDLE_PREFIX).rpartition(".")
        if token.endswith(".string_to_param"):
            token, key = token.removesuffix(".string_to_param"), "emb_params"
        found.setdefault(token, {})[key] = tensor
    made = [make_concept(raw, token, _by_encoder(tensors)) for token, tensors in found.items()]
    return made + (words(replace(raw, items=plain, metadata={})) if plain else [])


def _names_in_lora(raw: RawContent) -> list[str]:
    shapes = {name: tuple(tensor.shape) for name, tensor in raw.tensors.items()}
    return grouping.embeddings_in_lora(shapes, raw.metadata)


def _by_encoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A word's tensors under our names for the encoders: by their widths where keys say nothing."""
    (word, *_) = grouping.group_by_width(tensors) or [{}]
    if word:
        return dict(word.values())
    return {keys.encoder_of(key, grouping.width(t)) or key: t for key, t in tensors.items()}


def read_a1111(raw: RawContent) -> list[Concept]:
    """AUTOMATIC1111's dict, and the original paper's, which may hold several words."""
    holder = raw.items.get("string_to_param")
    found = parameter_tensors(holder)
    if not found:
        raise ConceptError(f"{raw.where}: its string_to_param holds no tensor")
    provenance = plain_values(
        raw.items, {"step": "steps", "sd_checkpoint_name": "base", "sd_checkpoint": "base_hash"}
    )
    ours = raw.items.get("pseudoword")
    if isinstance(ours, Mapping):
        provenance = plain_values(ours, {key: key for key in ours if isinstance(key, str)})
    elif raw.metadata:
        provenance = {key.removeprefix(METADATA_PREFIX): said for key, said in raw.metadata.items()}
    family, method = provenance.pop("family", None), provenance.pop("method", "classic")
    paper = isinstance(holder, torch.nn.ParameterDict)
    pairs = grouping.group_by_width(found) or []
    if len(pairs) == 1:
        name, vectors = raw.items.get("name"), dict(pairs[0].values())
        return [
            make_concept(raw, name, vectors, provenance=provenance, family=family, method=method)
        ]
    words = []
    for key, tensor in found.items():
        name = raw.items.get("name")
        token = name if name and len(found) == 1 else key if paper or key != "*" else None
        if token == "*" and not paper:  # what AUTOMATIC1111 calls every word inside a file
            token = None
        vectors = {keys.encoder_of_width(grouping.width(tensor)): tensor}
        words.append(
            make_concept(raw, token, vectors, provenance=provenance, family=family, method=method)
        )
    return words


def read_native(raw: RawContent) -> list[Concept]:
    """Ours: the token's name on the only tensor, or a tensor per encoder."""
    tensors = raw.tensors
    if len(tensors) == 1:
        return read_placeholders(raw)
    order = raw.metadata[f"{METADATA_PREFIX}encoders"].split(",")
    if set(order) != set(tensors):
        raise ConceptError(f"{raw.where} is damaged: it should hold {brief(', '.join(order), 200)}")
    return [_with_metadata(raw, {key: tensors[key] for key in order})]


def read_encoders(raw: RawContent) -> list[Concept]:
    """One word: a tensor per text encoder, under anybody's names for them."""
    vectors: dict[str, Tensor] = {}
    for key, tensor in raw.tensors.items():
        encoder = keys.encoder_of(key, grouping.width(tensor))
        if encoder is None:
            continue
        if encoder in vectors:
            raise ConceptError(f"{raw.where} holds {encoder} twice: {raw.summary()}")
        vectors[encoder] = tensor
    grouping.check_not_a_prompt(raw)
    return [_with_metadata(raw, vectors)]


def read_xti(raw: RawContent) -> list[Concept]:
    """kohya's XTI: rows for each of 16 cross-attention layers."""
    tensors = raw.tensors
    return [
        _with_metadata(
            raw, {f"clip_l.{layer}": tensors[layer] for layer in keys.XTI_LAYERS}, "layered"
        )
    ]


def read_by_width(raw: RawContent) -> list[Concept]:
    """Words of several encoders under any names: the widths tell which is whose."""
    words = grouping.group_by_width(grouping.embedding_tensors(raw)) or []
    grouping.check_not_a_prompt(raw)
    if len(words) == 1:
        (vectors,) = words
        return [
            _with_metadata(
                raw, dict(vectors.values()), token=grouping.bracketed_token(list(vectors))
            )
        ]
    tokens = [grouping.common_token(list(vectors)) for vectors in words]
    if len(set(tokens)) < len(tokens) or not all(tokens):
        tokens = [f"{raw.default_token}-{i}" for i in range(1, len(words) + 1)]
    return [
        make_concept(raw, token, dict(vectors.values()))
        for token, vectors in zip(tokens, words, strict=True)
    ]


def read_nested(raw: RawContent) -> list[Concept]:
    """Dicts in a dict: each a word, or each a text encoder, or nothing but a wrapping."""
    groups = grouping.nested_tensors(raw)
    if len(groups) == 1:
        ((name, inside),) = groups.items()
        alone = replace(raw, items=inside)
        (found, *others) = words(alone)
        if others or name in _HOLDERS or found.token != alone.default_token:
            return [found, *others]
        return [replace(found, token=valid_token(name) or raw.default_token)]
    if not all(grouping.is_one_concept(inside) for inside in groups.values()):
        turned: dict[str, dict[str, Tensor]] = {}
        for outer, inside in groups.items():
            for inner, tensor in inside.items():
                turned.setdefault(inner, {})[outer] = tensor
        groups = turned
    if not all(grouping.is_one_concept(inside) for inside in groups.values()):
        raise raw.refusal()
    found_words = [words(replace(raw, items=inside)) for inside in groups.values()]
    return [
        replace(one, token=valid_token(name) or raw.default_token)
        for name, several in zip(groups, found_words, strict=True)
        for one in several
    ]


def read_placeholders(raw: RawContent) -> list[Concept]:
    """diffusers: each tensor stands under its placeholder."""
    tensors = grouping.embedding_tensors(raw)
    if any(is_network_weight(key) for key in tensors):
        raise raw.refusal()
    if len(tensors) == 1:
        ((key, tensor),) = tensors.items()
        token = None if key in _NO_TOKEN else key
        ours = raw.metadata.get(f"{METADATA_PREFIX}encoders", "").split(",")[0]
        encoder = ours or keys.encoder_of_width(grouping.width(tensor))
        if not ours:
            grouping.check_not_a_prompt(raw)
        return [_with_metadata(raw, {encoder: tensor}, token=token)]
    widths = {grouping.width(tensor) for tensor in tensors.values()}
    if not tensors or len(tensors) > MOST_WORDS:
        raise raw.refusal()
    if len(widths) > 1 and not all(map(keys.is_known_width, widths)):
        some = ", ".join(map(str, sorted(widths)[:4]))
        raise raw.refusal(
            f"its tensors are {some} wide, as the weights of a LoRA or a model may be, and not as "
            f"wide as text encoders; {raw.summary()}"
        )
    grouping.check_not_a_prompt(raw)
    return [
        make_concept(raw, key, {keys.encoder_of_width(grouping.width(t)): t})
        for key, t in tensors.items()
    ]


def _with_metadata(
    raw: RawContent,
    vectors: Mapping[str, Tensor],
    method: str = "classic",
    token: str | None = None,
) -> Concept:
    """A word with what the metadata says of it: ours, or ModelSpec's."""
    ours = {
        k.removeprefix(METADATA_PREFIX): v
        for k, v in raw.metadata.items()
        if k.startswith(METADATA_PREFIX)
    }
    ours.pop("encoders", None)
    name = ours.pop("token", None) or token or raw.metadata.get("modelspec.trigger_phrase")
    family, method = ours.pop("family", None), ours.pop("method", method)
    made = make_concept(raw, name, vectors, provenance=ours, family=family, method=method)
    if (
        f"{METADATA_PREFIX}token" in raw.metadata and family is None
    ):  # it was not known, and is not guessed
        return replace(made, family=None)
    return made


def _has_exactly(raw: RawContent, *names: str) -> bool:
    return set(raw.tensors) == set(names)


def _all_encoders(raw: RawContent) -> bool:
    tensors = raw.tensors
    return bool(tensors) and all(
        keys.encoder_of(key, grouping.width(t)) for key, t in tensors.items()
    )


def _is_onetrainer(raw: RawContent) -> bool:
    theirs = {"emp_params", "t5", "gemma"}
    return _all_encoders(raw) and any(
        key in theirs or key.endswith(keys.OUTPUT_SUFFIX) for key in raw.tensors
    )


LAYOUTS: dict[str, Layout] = {
    "native": Layout(
        "a pseudoword concept",
        lambda raw: f"{METADATA_PREFIX}encoders" in raw.metadata,
        read_native,
    ),
    "bundle": Layout(
        "words in a LoRA",
        lambda raw: bool(_names_in_lora(raw)),
        read_bundle,
    ),
    "paper": Layout(
        "the original paper code's embeddings",
        lambda raw: isinstance(raw.items.get("string_to_param"), torch.nn.ParameterDict),
        read_a1111,
    ),
    "a1111": Layout(
        "an AUTOMATIC1111 embedding",
        lambda raw: isinstance(raw.items.get("string_to_param"), Mapping),
        read_a1111,
    ),
    "kohya": Layout(
        "a kohya or invoke-training embedding",
        lambda raw: (
            _has_exactly(raw, "emb_params")
            or ("modelspec.architecture" in raw.metadata and _all_encoders(raw))
        ),
        read_encoders,
    ),
    "xti": Layout("a layered word (XTI)", lambda raw: keys.is_layered(raw.tensors), read_xti),
    "onetrainer": Layout("a OneTrainer embedding", _is_onetrainer, read_encoders),
    "sdxl": Layout(
        "an SDXL embedding",
        lambda raw: _has_exactly(raw, "clip_l", "clip_g"),
        read_encoders,
    ),
    "comfyui": Layout(
        "a ComfyUI embedding",
        _all_encoders,
        read_encoders,
    ),
    "pairs": Layout(
        "a word of several encoders, told by their widths",
        lambda raw: (
            not grouping.has_weights(raw)
            and bool(grouping.group_by_width(grouping.embedding_tensors(raw)))
        ),
        read_by_width,
    ),
    "nested": Layout(
        "dicts in a dict",
        lambda raw: (
            not raw.tensors and not grouping.has_weights(raw) and bool(grouping.nested_tensors(raw))
        ),
        read_nested,
    ),
    "diffusers": Layout("a diffusers embedding", lambda _: True, read_placeholders),
}
"""Name -> layout, in the order in which they are tried."""


def identify(raw: RawContent) -> str:
    """The name of the layout that `raw` has."""
    return next(name for name, layout in LAYOUTS.items() if layout.matches(raw))


def words(raw: RawContent) -> list[Concept]:
    """Every word in the file.

    Raises:
        ConceptError: there is none, or one is broken.
    """
    return LAYOUTS[identify(raw)].read(raw)
