"""What a file holds before anybody knows what it means, and the checks that every reader shares."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.formats.file_kinds import kind_of_names, nested_names
from pseudoword.formats.keys import encoder_order, families_of
from pseudoword.placeholders import check_token
from pseudoword.text import brief, visible

MOST_NUMBERS = 1 << 25
"""No word is larger (128 MiB of float32): refused before anything is allocated."""

LONGEST = 1000
"""Characters of a token; what is longer is none."""

MOST_WORDS = 4096
"""Words in one file."""


class NoWordError(ConceptError):
    """A picture like any other."""


Form = Literal["dict", "tensor", "list", "other"]
"""A dict under texts, a bare tensor, a list of dicts, or anything else that has tensors in it."""

Quirk = Literal["newer torch", "ParameterDict", "metadata"]
"""Parts of a zip, or types, that torch 1 did not write; a class that torch's safe reader does not
know; metadata of safetensors that is not text."""


@dataclass(frozen=True)
class RawContent:
    """The content of a file: names -> tensors, numbers, texts, or more of the same."""

    items: Mapping[str, Any]
    where: str
    """how errors call the file"""
    container: str
    """`safetensors`, `torch`, `chunk` (PNG text) or `pixels` (hidden in a picture)"""
    metadata: Mapping[str, str] = field(default_factory=dict)
    form: Form = "dict"
    """what holds the items; the items of a list are numbered, a bare tensor is called nothing"""
    quirks: frozenset[Quirk] = frozenset()
    """what about the container other tools stumble over"""

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The items that are tensors of numbers; texts may be packed into bytes."""
        found = {str(k): v for k, v in self.items.items() if isinstance(v, Tensor)}
        return {k: v for k, v in found.items() if v.dtype != torch.uint8}

    @property
    def default_token(self) -> str:
        """A token made of the file's name, for files that don't say how their word is called."""
        return valid_token(Path(self.where).stem) or "concept"

    def summary(self) -> str:
        """The first few names and shapes, for error messages."""
        several = [
            f"{brief(str(k), 60)} {list(v.shape) if isinstance(v, Tensor) else type(v).__name__}"
            for k, v in list(self.items.items())[:3]
        ]
        more = f" and {len(self.items) - 3} more" if len(self.items) > 3 else ""
        return f"it has {len(self.items)} tensors ({', '.join(several)}{more})"

    def refusal(self, reason: str = "") -> ConceptError:
        """Why this file holds no word, as far as its names tell."""
        kind = kind_of_names(nested_names(self.items))
        if kind is None:
            return ConceptError(f"{self.where} holds no embedding: {reason or self.summary()}.")
        return ConceptError(
            f"{self.where} is {kind.what} without embeddings in it ({self.summary()}). "
            f"{kind.advice}."
        )


def as_rows(tensor: Tensor, where: str, name: str) -> Tensor:
    """`tensor` as `[n, width]` float32, every value as it was.

    Args:
        tensor: `[width]` or `[n, width]` in any floating dtype.
        where: the file.
        name: what the tensor is called in it.

    Raises:
        ConceptError: it is no embedding, or float32 cannot hold its values exactly.
    """
    what = f"{where} holds no embedding: {brief(name, 80)} is {_shape_and_dtype(tensor)}"
    if not tensor.is_floating_point() or tensor.layout is not torch.strided:
        raise ConceptError(f"{what}, not rows of floating point numbers")
    if tensor.ndim == 3 and 0 not in tensor.shape:
        raise ConceptError(
            f"{what}, as an encoded prompt or a picture's features may be; a word is [n, width]"
        )
    if tensor.ndim not in (1, 2) or 0 in tensor.shape:
        raise ConceptError(f"{what}, expected [n, width] or [width]")
    if math.prod(tensor.shape) > MOST_NUMBERS:
        raise ConceptError(f"{what}, too large for a word. This looks like a model.")
    try:
        found = tensor.detach().reshape(-1, tensor.shape[-1])
        exact = found.float().contiguous().clone()
        kept = exact.to(found.dtype)
    except (RuntimeError, NotImplementedError) as error:
        raise ConceptError(f"{what}, a kind of number that cannot be read: {error}") from error
    if not torch.isfinite(exact).all():
        raise ConceptError(f"{what} with values that are not finite; the file is broken")
    if not torch.equal(kept, found):
        raise ConceptError(f"{what}, and float32 cannot hold its values exactly")
    return exact


def make_concept(
    raw: RawContent,
    token: object,
    vectors: Mapping[str, Tensor],
    *,
    provenance: Mapping[str, str] | None = None,
    family: str | None = None,
    method: str = "classic",
) -> Concept:
    """A `Concept` of raw tensors; a token that cannot be one gives way to the file's name."""
    order = sorted(vectors, key=encoder_order)
    checked = {visible(key): as_rows(vectors[key], raw.where, key) for key in order}
    if not checked:
        raise raw.refusal()
    fits = families_of({key: r.shape[1] for key, r in checked.items()})
    if fits and family not in fits:  # the widths know better
        family = fits[0] if len(fits) == 1 else None
    return Concept(
        token=valid_token(token) or raw.default_token,
        vectors=checked,
        family=family and visible(family),
        method=visible(method),
        provenance={visible(k): visible(v) for k, v in (provenance or {}).items()},
    )


def valid_token(token: object) -> str | None:
    """`token` if it can be a placeholder, else None."""
    try:
        return check_token(token) if isinstance(token, str) and len(token) <= LONGEST else None
    except SettingsError:
        return None


def plain_values(items: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """The plain values among `items`, under the names that provenance uses."""
    found = {}
    for key, name in names.items():
        value = items.get(key)
        if isinstance(value, str | int | float):
            found[name] = str(value)[:1000]
    return found


def parameter_tensors(found: object) -> dict[str, Tensor]:
    """The tensors of a `string_to_param`: a dict, or a ParameterDict of any torch release."""
    inside = vars(found) if isinstance(found, torch.nn.ParameterDict) else found
    if isinstance(inside, Mapping) and isinstance(inside.get("_parameters"), Mapping):
        inside = inside["_parameters"]
    if not isinstance(inside, Mapping):
        return {}
    return {str(k): v for k, v in _first_items(inside) if isinstance(v, Tensor)}


def _first_items(found: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    for n, item in enumerate(found.items()):
        if n == MOST_WORDS:
            return
        yield item


def _shape_and_dtype(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
