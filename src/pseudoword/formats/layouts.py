"""What the keys in a file mean: one entry per layout; the first that matches is used.

A layout does not depend on the container: kohya's dict is read from `.pt` and `.safetensors` alike.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats import grouping, keys, layered_rows
from pseudoword.formats.file_kinds import is_network_weight
from pseudoword.formats.raw_content import (
    MOST_CONCEPTS,
    PREFIX,
    RawContent,
    make_concept,
    parameter_tensors,
    plain_values,
    valid_token,
)
from pseudoword.text import brief

ENCODERS = f"{PREFIX}encoders"
"""The key of the text encoders whose rows our own file holds, separated by commas."""

ALL_ENCODERS = f"{PREFIX}all_encoders"
"""The key of the text encoders of a concept that is written into two files, separated by commas."""

LAYERED_ROWS = f"{PREFIX}layered_rows"
"""The key of a layered concept's rows for each layer."""

_NO_TOKEN = ("", *keys.UNNAMED)

_WRAPPERS = {
    *("state_dict", "embeddings", "embedding", "embeds", "emb", "learned_embeds", "params"),
    *("weights", "model", "data", "tensors", "textual_inversion", "text_encoder_embeddings"),
}
"""Names of an inner dict that are no token."""


class Layout(NamedTuple):
    """How one tool arranges an embedding: how to recognise that, and its reader."""

    matches: Callable[[RawContent], bool]
    read: Callable[[RawContent], list[Concept]]


def read_bundle(raw: RawContent) -> list[Concept]:
    """Embeddings inside a LoRA: `bundle_emb.<token>.<key>` (OneTrainer, AUTOMATIC1111), marked in
    its metadata, or simply beside its weights."""
    bundled: dict[str, dict[str, Tensor]] = {}
    others: dict[str, Tensor] = {}
    for name in _names_in_lora(raw):
        tensor = raw.tensors[name]
        if not name.startswith(grouping.BUNDLE_PREFIX):
            others[name] = tensor
            continue
        token, _, key = name.removeprefix(grouping.BUNDLE_PREFIX).rpartition(".")
        if token.endswith(".string_to_param"):
            token, key = token.removesuffix(".string_to_param"), "emb_params"
        bundled.setdefault(token, {})[key] = tensor
    concepts = [
        make_concept(raw, token, _by_encoder(raw, tensors)) for token, tensors in bundled.items()
    ]
    if others:
        concepts += read_concepts(replace(raw, items=others, metadata={}))
    return concepts


def _names_in_lora(raw: RawContent) -> list[str]:
    shapes = {name: tuple(tensor.shape) for name, tensor in raw.tensors.items()}
    return grouping.embeddings_in_lora(shapes, raw.metadata)


def _by_encoder(raw: RawContent, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A concept's tensors under our encoder keys, by their names or else by their widths."""
    named = {key: keys.encoder_of(key, grouping.width(t)) for key, t in tensors.items()}
    if not all(named.values()):
        groups = grouping.group_by_width(tensors) or ()
        if len(groups) == 1:
            return dict(groups[0].values())
    vectors: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        encoder = named[key] or key
        if encoder in vectors:
            raise ConceptError(f"{raw.where} holds {encoder} twice: {raw.summary()}")
        vectors[encoder] = tensor
    return vectors


def read_a1111(raw: RawContent) -> list[Concept]:
    """AUTOMATIC1111's dict, or the one of the paper's code, which may hold several concepts."""
    holder = raw.items.get("string_to_param")
    tensors = parameter_tensors(holder)
    if not tensors:
        raise ConceptError(f"{raw.where}: its string_to_param holds no tensor")
    provenance = _a1111_provenance(raw)
    family, method = provenance.pop("family", None), provenance.pop("method", "classic")

    def concept(token: object, vectors: Mapping[str, Tensor]) -> Concept:
        return make_concept(
            raw, token, vectors, provenance=provenance, family=family, method=method
        )

    name = raw.items.get("name")
    groups = grouping.group_by_width(tensors) or []
    if len(groups) == 1:
        return [concept(name, dict(groups[0].values()))]
    from_paper = isinstance(holder, torch.nn.ParameterDict)
    concepts = []
    for key, tensor in tensors.items():
        token = None if key == "*" and not from_paper else key  # AUTOMATIC1111's key in every file
        if name and len(tensors) == 1:
            token = name
        concepts.append(concept(token, {_encoder_of(tensor): tensor}))
    return concepts


def _a1111_provenance(raw: RawContent) -> dict[str, str]:
    """What AUTOMATIC1111's dict says about the training, or our own entry beside it."""
    ours = raw.items.get("pseudoword")
    if isinstance(ours, Mapping):
        return plain_values(ours)
    theirs = {"steps": "step", "base": "sd_checkpoint_name", "base_hash": "sd_checkpoint"}
    return plain_values({name: raw.items.get(key) for name, key in theirs.items()})


def read_native(raw: RawContent) -> list[Concept]:
    """Our own file: one tensor under the token, or a tensor per text encoder."""
    tensors = raw.tensors
    order = raw.metadata[ENCODERS].split(",")
    if len(tensors) == 1:
        ((key, tensor),) = tensors.items()
        token = None if key in _NO_TOKEN else key
        return [_with_metadata(raw, {order[0] or _encoder_of(tensor): tensor}, token=token)]
    if set(order) != set(tensors):
        raise ConceptError(f"{raw.where} is damaged: it should hold {brief(', '.join(order), 200)}")
    return [_with_metadata(raw, {key: tensors[key] for key in order})]


def read_encoders(raw: RawContent) -> list[Concept]:
    """One concept: a tensor per text encoder, under any tool's keys."""
    named = {k: t for k, t in raw.tensors.items() if keys.encoder_of(k, grouping.width(t))}
    vectors = _by_encoder(raw, named)
    grouping.check_not_a_prompt(raw)
    return [_with_metadata(raw, vectors)]


def read_xti(raw: RawContent) -> list[Concept]:
    """kohya's XTI: rows for each of 16 cross-attention layers."""
    vectors = {f"clip_l.{layer}": raw.tensors[layer] for layer in keys.XTI_LAYERS}
    return [_with_metadata(raw, vectors, "layered")]


def read_by_width(raw: RawContent) -> list[Concept]:
    """Concepts for several text encoders, under any names: widths decide which is for which."""
    groups = grouping.group_by_width(grouping.embedding_tensors(raw)) or []
    grouping.check_not_a_prompt(raw)
    if len(groups) == 1:
        (group,) = groups
        token = grouping.bracketed_token(list(group))
        return [_with_metadata(raw, dict(group.values()), token=token)]
    tokens = [grouping.common_token(list(group)) for group in groups]
    if len(set(tokens)) < len(tokens) or not all(tokens):
        tokens = [f"{raw.default_token}-{i}" for i in range(1, len(groups) + 1)]
    return [
        make_concept(raw, token, dict(group.values()))
        for token, group in zip(tokens, groups, strict=True)
    ]


def read_nested(raw: RawContent) -> list[Concept]:
    """Dicts in a dict: one per concept, or one per text encoder, or one that wraps everything."""
    groups = grouping.nested_tensors(raw)
    if len(groups) == 1:
        ((name, tensors),) = groups.items()
        inner = replace(raw, items=tensors)
        first, *others = read_concepts(inner)
        if others or name in _WRAPPERS or first.token != inner.default_token:
            return [first, *others]
        return [_named_after(name, first, raw)]
    if not all(map(grouping.is_one_concept, groups.values())):
        groups = _transposed(groups)  # one dict per text encoder
    if not all(map(grouping.is_one_concept, groups.values())):
        raise raw.refusal()
    return [
        _named_after(name, concept, raw)
        for name, tensors in groups.items()
        for concept in read_concepts(replace(raw, items=tensors))
    ]


def read_placeholders(raw: RawContent) -> list[Concept]:
    """diffusers: each tensor under its placeholder token."""
    tensors = grouping.embedding_tensors(raw)
    if not tensors or len(tensors) > MOST_CONCEPTS or any(map(is_network_weight, tensors)):
        raise raw.refusal()
    grouping.check_not_a_prompt(raw)
    if len(tensors) == 1:
        ((key, tensor),) = tensors.items()
        token = None if key in _NO_TOKEN else key
        return [_with_metadata(raw, {_encoder_of(tensor): tensor}, token=token)]
    widths = sorted({grouping.width(tensor) for tensor in tensors.values()})
    if len(widths) > 1 and not all(map(keys.is_known_width, widths)):
        raise raw.refusal(
            f"its tensors are {', '.join(map(str, widths[:4]))} wide, like the weights of a LoRA "
            f"or a model, and unlike the rows of text encoders; {raw.summary()}"
        )
    return [make_concept(raw, key, {_encoder_of(t): t}) for key, t in tensors.items()]


def _encoder_of(tensor: Tensor) -> str:
    """The text encoder that the width of `tensor` points to."""
    return keys.encoder_of_width(grouping.width(tensor))


def _transposed(groups: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Outer name -> inner name -> tensor, as inner name -> outer name -> tensor."""
    turned: dict[str, dict[str, Tensor]] = {}
    for outer, tensors in groups.items():
        for inner, tensor in tensors.items():
            turned.setdefault(inner, {})[outer] = tensor
    return turned


def _named_after(name: str, concept: Concept, raw: RawContent) -> Concept:
    """`concept` with the token `name`, or that of the file if `name` cannot be a token."""
    return replace(concept, token=valid_token(name) or raw.default_token)


def _with_metadata(
    raw: RawContent,
    vectors: Mapping[str, Tensor],
    method: str = "classic",
    token: str | None = None,
) -> Concept:
    """A concept with what the metadata says about it: ours, ModelSpec's or ai-toolkit's."""
    ours = {
        key.removeprefix(PREFIX): value
        for key, value in raw.metadata.items()
        if key.startswith(PREFIX) and key not in (ENCODERS, ALL_ENCODERS, LAYERED_ROWS)
    }
    layers = raw.metadata.get(LAYERED_ROWS)
    if layers is not None:
        vectors = {**vectors, **layered_rows.from_text(layers, vectors, raw.where)}
    theirs = raw.metadata.get("modelspec.trigger_phrase") or _ai_toolkit_name(raw)
    name = ours.pop("token", None) or token or theirs
    family, method = ours.pop("family", None), ours.pop("method", method)
    concept = make_concept(raw, name, vectors, provenance=ours, family=family, method=method)
    if raw.is_ours and family is None:  # it was unknown when the file was written: do not guess it
        return replace(concept, family=None)
    return concept


def _ai_toolkit_name(raw: RawContent) -> str | None:
    """The token in ai-toolkit's metadata: AUTOMATIC1111's dict without its tensors, as JSON."""
    if "string_to_param" not in raw.metadata:
        return None
    with suppress(ValueError, RecursionError):
        name = json.loads(raw.metadata.get("name", ""))
        return name if isinstance(name, str) else None
    return None


def _has_exactly(raw: RawContent, *names: str) -> bool:
    return set(raw.tensors) == set(names)


def _all_encoders(raw: RawContent) -> bool:
    tensors = raw.tensors
    return bool(tensors) and all(
        keys.encoder_of(key, grouping.width(t)) for key, t in tensors.items()
    )


def _is_onetrainer(raw: RawContent) -> bool:
    theirs = {"emp_params", *keys.ONETRAINER}
    return _all_encoders(raw) and any(
        key in theirs or key.endswith(keys.OUTPUT_SUFFIX) for key in raw.tensors
    )


LAYOUTS: dict[str, Layout] = {
    "native": Layout(lambda raw: ENCODERS in raw.metadata, read_native),
    "bundle": Layout(lambda raw: bool(_names_in_lora(raw)), read_bundle),
    "paper": Layout(
        lambda raw: isinstance(raw.items.get("string_to_param"), torch.nn.ParameterDict),
        read_a1111,
    ),
    "a1111": Layout(lambda raw: isinstance(raw.items.get("string_to_param"), Mapping), read_a1111),
    "kohya": Layout(
        lambda raw: (
            _has_exactly(raw, "emb_params")
            or ("modelspec.architecture" in raw.metadata and _all_encoders(raw))
        ),
        read_encoders,
    ),
    "xti": Layout(lambda raw: keys.has_xti_layers(raw.tensors), read_xti),
    "onetrainer": Layout(_is_onetrainer, read_encoders),
    "sdxl": Layout(lambda raw: _has_exactly(raw, "clip_l", "clip_g"), read_encoders),
    "comfyui": Layout(_all_encoders, read_encoders),
    "pairs": Layout(
        lambda raw: (
            not grouping.has_weights(raw)
            and bool(grouping.group_by_width(grouping.embedding_tensors(raw)))
        ),
        read_by_width,
    ),
    "nested": Layout(
        lambda raw: (
            not raw.tensors and not grouping.has_weights(raw) and bool(grouping.nested_tensors(raw))
        ),
        read_nested,
    ),
    "diffusers": Layout(lambda _: True, read_placeholders),
}
"""Name -> layout, in the order in which they are tried."""


def identify(raw: RawContent) -> str:
    """The name of the layout that `raw` has."""
    return next(name for name, layout in LAYOUTS.items() if layout.matches(raw))


def read_concepts(raw: RawContent) -> list[Concept]:
    """Every concept in the file.

    Raises:
        ConceptError: there is none, or one is damaged.
    """
    return LAYOUTS[identify(raw)].read(raw)
