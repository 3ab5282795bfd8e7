"""The tensors and texts of a file before its layout is known, and checks that all readers share."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.formats.file_kinds import kind_of_names, nested_names
from pseudoword.formats.keys import encoder_order, families_of, likely_family
from pseudoword.placeholders import check_token
from pseudoword.text import brief, listed, visible

MOST_NUMBERS = 1 << 25
"""Larger tensors (128 MiB of float32) are refused before memory is allocated."""

MOST_CONCEPTS = 4096
"""The most concepts in one file."""


PREFIX = "pseudoword."
"""Prefix of the keys of our own metadata."""


class NoEmbeddingError(ConceptError):
    """A picture without an embedding in it."""


Form = Literal["dict", "tensor", "list", "other"]
"""How the items are held: a dict with text keys, one bare tensor, a list of dicts, or otherwise."""

Quirk = Literal["newer torch", "ParameterDict", "metadata"]
"""What some tools cannot read: parts or types in a zip that torch 1 did not write; a ParameterDict,
which torch's safe reader does not accept by itself; safetensors metadata that is not text."""


@dataclass(frozen=True)
class RawContent:
    """The content of a file: name -> tensor, number, text, or a dict or list of these."""

    items: Mapping[str, Any]
    where: str
    """the file's name in error messages"""
    container: str
    """`safetensors`, `torch`, `chunk` (PNG text) or `pixels` (hidden in a picture)"""
    metadata: Mapping[str, str] = field(default_factory=dict)
    form: Form = "dict"
    """how the file holds the items; those of a list are named by number, a bare tensor by `""`"""
    quirks: frozenset[Quirk] = frozenset()
    """what other tools may not be able to read"""

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors, without those of bytes, which hold texts."""
        tensors = {str(k): v for k, v in self.items.items() if isinstance(v, Tensor)}
        return {k: v for k, v in tensors.items() if v.dtype != torch.uint8}

    @property
    def is_ours(self) -> bool:
        """Whether we wrote the file, and so it is known to hold a word."""
        return f"{PREFIX}token" in self.metadata

    @property
    def default_token(self) -> str:
        """A token made from the file's name, for files that hold no token."""
        return valid_token(Path(self.where).stem) or "concept"

    def summary(self) -> str:
        """The first few names and shapes, for error messages."""
        examples = [
            f"{brief(str(k), 60)} {list(v.shape) if isinstance(v, Tensor) else type(v).__name__}"
            for k, v in self.items.items()
        ]
        return f"it has {len(self.items)} tensors ({listed(examples)})"

    def refusal(self, reason: str = "") -> ConceptError:
        """The error for a file without an embedding; names may tell what it is instead."""
        kind = kind_of_names(nested_names(self.items))
        if kind is None:
            return ConceptError(f"{self.where} holds no embedding: {reason or self.summary()}.")
        return ConceptError(
            f"{self.where} is {kind.what} without embeddings in it ({self.summary()}). "
            f"{kind.advice}."
        )


def as_rows(tensor: Tensor, where: str, name: str) -> Tensor:
    """`tensor` as `[n, width]` in float32, all values unchanged.

    Args:
        tensor: `[width]` or `[n, width]` in any floating dtype.
        where: the file, for the error message.
        name: the tensor's name in it.

    Raises:
        ConceptError: it is no embedding, or float32 cannot hold its values exactly.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    what = f"{where} holds no embedding: {brief(name, 80)} is {list(tensor.shape)} of {dtype}"
    if not tensor.is_floating_point() or tensor.layout is not torch.strided:
        raise ConceptError(f"{what}, not rows of floating point numbers")
    if tensor.ndim == 3 and 0 not in tensor.shape:
        raise ConceptError(
            f"{what}, like an encoded prompt or a picture's features; an embedding is [n, width]"
        )
    if tensor.ndim not in (1, 2) or 0 in tensor.shape:
        raise ConceptError(f"{what}, expected [n, width] or [width]")
    if tensor.numel() > MOST_NUMBERS:
        raise ConceptError(f"{what}, too large for an embedding. This looks like a model.")
    try:
        given = tensor.detach().reshape(-1, tensor.shape[-1])
        rows = given.float().contiguous().clone()
        back = rows.to(given.dtype)
    except (RuntimeError, NotImplementedError) as error:
        raise ConceptError(f"{what}, a kind of number that cannot be read: {error}") from error
    if not torch.isfinite(rows).all():
        raise ConceptError(f"{what} with values that are not finite; the file is broken")
    if not torch.equal(back, given):
        raise ConceptError(f"{what}, and float32 cannot hold its values exactly")
    return rows


def make_concept(
    raw: RawContent,
    token: object,
    vectors: Mapping[str, Tensor],
    *,
    provenance: Mapping[str, str] | None = None,
    family: str | None = None,
    method: str = "classic",
) -> Concept:
    """Make a `Concept` from tensors; if `token` is not valid, the file's name replaces it."""
    order = sorted(vectors, key=encoder_order)
    names = {id(tensor): name for name, tensor in raw.tensors.items()}  # the file's own
    checked = {
        visible(key): as_rows(vectors[key], raw.where, names.get(id(vectors[key])) or key)
        for key in order
    }
    if not checked:
        raise raw.refusal()
    widths = {key: rows.shape[1] for key, rows in checked.items()}
    families = families_of(widths)
    if families and family not in families:  # widths are more reliable than metadata
        family = likely_family(widths)
    return Concept(
        token=valid_token(token) or raw.default_token,
        vectors=checked,
        family=family and visible(family),
        method=visible(method),
        provenance={visible(k): visible(v) for k, v in (provenance or {}).items()},
    )


def valid_token(token: object) -> str | None:
    """`token` if it can be a placeholder token, else None."""
    try:
        return check_token(token) if isinstance(token, str) else None
    except SettingsError:
        return None


def plain_values(items: Mapping[object, object]) -> dict[str, str]:
    """The texts and numbers among `items`, as texts."""
    return {
        key: str(value)[:1000]
        for key, value in items.items()
        if isinstance(key, str) and isinstance(value, str | int | float)
    }


def parameter_tensors(holder: object) -> dict[str, Tensor]:
    """The tensors of a `string_to_param`: a dict, or a ParameterDict of any torch release."""
    items = vars(holder) if isinstance(holder, torch.nn.ParameterDict) else holder
    if isinstance(items, Mapping) and isinstance(items.get("_parameters"), Mapping):
        items = items["_parameters"]
    if not isinstance(items, Mapping):
        return {}
    first = itertools.islice(items.items(), MOST_CONCEPTS)
    return {str(name): item for name, item in first if isinstance(item, Tensor)}
