"""What the names in a file mean: one entry per layout, tried in order; the first that matches.

A layout is the same in every container, so kohya's bare dict is read from `.pt` and from
`.safetensors` alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats import keys
from pseudoword.formats.loose import MOST_WORDS, Loose, concept, parameters, texts

OURS = "pseudoword."
"""Prefix of our own metadata."""

_NO_TOKEN = ("", *keys.ANONYMOUS)
_MODEL_PARTS = ("lora_", ".weight", ".bias", ".alpha", "lora_down", "lora_up", "_model.", "unet.")


@dataclass(frozen=True)
class Layout:
    """How one tool arranges an embedding."""

    title: str
    matches: Callable[[Loose], bool]
    read: Callable[[Loose], list[Concept]]


def bundled(loose: Loose) -> list[Concept]:
    """Embeddings inside a LoRA file: `bundle_emb.<placeholder>.<key>`, OneTrainer's or A1111's."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in loose.tensors.items():
        if not name.startswith("bundle_emb."):
            continue
        inner = name.removeprefix("bundle_emb.")
        token, _, key = inner.rpartition(".")
        if token.endswith(".string_to_param"):
            token, key = token.removesuffix(".string_to_param"), "emb_params"
        key = keys.encoder_of(key, tensor.shape[-1] if tensor.ndim else 0) or key
        found.setdefault(token, {})[key] = tensor
    return [concept(loose, token, vectors) for token, vectors in found.items()]


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
    family, method = provenance.pop("family", None), provenance.pop("method", "classic")
    paper = isinstance(holder, torch.nn.ParameterDict)
    words = []
    for key, tensor in found.items():
        name = loose.items.get("name")
        token = name if name and len(found) == 1 else key if paper or key != "*" else None
        vectors = {keys.of_width(tensor.shape[-1] if tensor.ndim else 0): tensor}
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
        raise ConceptError(f"{loose.where} is damaged: it should hold {', '.join(order)[:200]}")
    return [_described(loose, {key: tensors[key] for key in order})]


def encoders(loose: Loose) -> list[Concept]:
    """One word: a tensor per text encoder, under anybody's names for them."""
    vectors: dict[str, Tensor] = {}
    for key, tensor in loose.tensors.items():
        encoder = keys.encoder_of(key, tensor.shape[-1] if tensor.ndim else 0)
        if encoder is None:
            continue
        if encoder in vectors:
            raise ConceptError(f"{loose.where} holds {encoder} twice: {loose.summary()}")
        vectors[encoder] = tensor
    return [_described(loose, vectors)]


def layered(loose: Loose) -> list[Concept]:
    """kohya's XTI: rows for each of 16 cross-attention layers."""
    tensors = loose.tensors
    return [
        _described(loose, {f"clip_l.{layer}": tensors[layer] for layer in keys.LAYERS}, "layered")
    ]


def placeholders(loose: Loose) -> list[Concept]:
    """diffusers: each tensor stands under its placeholder."""
    tensors = loose.tensors
    if len(tensors) == 1:
        ((key, tensor),) = tensors.items()
        token = None if key in _NO_TOKEN else key
        ours = loose.metadata.get(f"{OURS}encoders", "").split(",")[0]
        encoder = ours or keys.of_width(tensor.shape[-1] if tensor.ndim else 0)
        return [_described(loose, {encoder: tensor}, token=token)]
    if not tensors or len(tensors) > MOST_WORDS or _is_model(tensors):
        raise ConceptError(
            f"{loose.where} holds no embedding: {loose.summary()}. "
            "This looks like a model or a LoRA without embeddings in it."
        )
    return [
        concept(loose, key, {keys.of_width(t.shape[-1] if t.ndim else 0): t})
        for key, t in tensors.items()
    ]


def _described(
    loose: Loose, vectors: Mapping[str, Tensor], method: str = "classic", token: str | None = None
) -> Concept:
    """A word with what the metadata says of it: ours, or ModelSpec's."""
    ours = {k.removeprefix(OURS): v for k, v in loose.metadata.items() if k.startswith(OURS)}
    ours.pop("encoders", None)
    name = ours.pop("token", None) or token or loose.metadata.get("modelspec.trigger_phrase")
    family, method = ours.pop("family", None), ours.pop("method", method)
    is_ours = f"{OURS}token" in loose.metadata
    made = concept(loose, name, vectors, provenance=ours, family=family, method=method)
    if is_ours and made.family != family:  # what we wrote says it, or it was not known
        return Concept(made.token, made.vectors, family, method, ours)
    return made


def _is_model(tensors: Mapping[str, Tensor]) -> bool:
    return any(part in key for key in tensors for part in _MODEL_PARTS)


def _named(loose: Loose, *names: str) -> bool:
    return set(loose.tensors) == set(names)


def _all_encoders(loose: Loose) -> bool:
    tensors = loose.tensors
    return bool(tensors) and all(
        keys.encoder_of(key, t.shape[-1] if t.ndim else 0) for key, t in tensors.items()
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
        "embeddings bundled in a LoRA",
        lambda loose: any(key.startswith("bundle_emb.") for key in loose.items),
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
