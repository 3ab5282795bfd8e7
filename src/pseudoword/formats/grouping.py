"""Which tensors of a file are embeddings, and which of them are one concept.

Their widths decide. Names only show which tensors are *not* embeddings, or which ones the file
itself marks as such.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from torch import Tensor

from pseudoword.errors import ConceptError
from pseudoword.formats import keys
from pseudoword.formats.file_kinds import is_network_weight, nested_names
from pseudoword.formats.raw_content import RawContent
from pseudoword.text import brief

BUNDLE_PREFIX = "bundle_emb."
"""Prefix of the embeddings in a LoRA file."""

_EMBED_VALUE = "<embed>"
"""The metadata value that cloneofsimo's LoRAs have for the name of each embedding."""

_PROMPT_ROWS = 77
"""CLIP's positions: a tensor with a multiple of 77 rows is an encoded prompt."""

_ENCODER_NAME = re.compile(r"[._-](te|clip|emb|text_encoders?)$|^(te|clip|emb|text_encoders?)$")
"""What the names of two encoders share, left over at the end of a shared name."""

ConceptTensors = dict[str, tuple[str, Tensor]]
"""A concept: name in the file -> text encoder, rows."""


def embeddings_in_lora(
    shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, object]
) -> list[str]:
    """The names of the embeddings in a LoRA: those it marks, or what is not part of its layers.

    Args:
        shapes: tensor name -> shape.
        metadata: of the file.
    """
    others = {name: shape for name, shape in shapes.items() if not is_network_weight(name)}
    marked = [n for n in others if n.startswith(BUNDLE_PREFIX) or metadata.get(n) == _EMBED_VALUE]
    if marked or len(others) == len(shapes):
        return marked
    named = [name for name in others if name.startswith("<") and name.endswith(">")]
    named = named or [n for n in others if n in keys.UNNAMED or keys.encoder_of(n, 0) is not None]
    if named:
        return named
    widths = [shape[-1] if shape else 0 for shape in others.values()]
    return list(others) if keys.encoders_of_widths(widths) else []


def width(tensor: Tensor) -> int:
    """Numbers per row; 0 for a single number."""
    return tensor.shape[-1] if tensor.ndim else 0


def row_count(tensor: Tensor) -> int:
    """How many rows a tensor has."""
    return tensor.shape[0] if tensor.ndim > 1 else 1


def embedding_tensors(raw: RawContent) -> dict[str, Tensor]:
    """The tensors that may be embeddings, without a step count or token ids that some tools add."""
    tensors = raw.tensors
    likely = {k: t for k, t in tensors.items() if t.numel() > 1 and t.is_floating_point()}
    return likely or tensors


def group_by_width(tensors: Mapping[str, Tensor]) -> list[ConceptTensors] | None:
    """Group tensors of several widths into concepts, if some family has encoders of these widths.

    Returns:
        One dict per concept: name in the file -> encoder, tensor. None if they form no concepts.
    """
    names_of_width: defaultdict[int, list[str]] = defaultdict(list)
    for name, tensor in tensors.items():
        names_of_width[width(tensor)].append(name)
    encoders = keys.encoders_of_widths(list(names_of_width))
    if encoders is None or len({len(names) for names in names_of_width.values()}) > 1:
        return None
    concepts = []
    for names in zip(*names_of_width.values(), strict=True):
        if len({row_count(tensors[name]) for name in names}) > 1:
            return None
        concepts.append({n: (e, tensors[n]) for n, e in zip(names, encoders, strict=True)})
    return concepts


def bracketed_token(names: Sequence[str]) -> str | None:
    """The token `<…>` that is in all of the names; None if there is none."""
    tokens = {name[name.find("<") : name.rfind(">") + 1] for name in names}
    return tokens.pop() or None if len(tokens) == 1 else None


def common_token(names: Sequence[str]) -> str | None:
    """The token of a concept, taken from what the names of its tensors share."""
    start = _shared_start(names)
    end = _shared_start([name[::-1] for name in names])[::-1]
    shared = _ENCODER_NAME.sub("", max(start, end, key=len).strip("._-:/ "))
    return bracketed_token(names) or shared or None


def _shared_start(names: Sequence[str]) -> str:
    letters = zip(*names, strict=False)
    return "".join(same[0] for same in itertools.takewhile(lambda at: len(set(at)) == 1, letters))


def nested_tensors(raw: RawContent) -> dict[str, dict[str, Tensor]]:
    """The dicts of tensors among the items: name of the dict -> name -> tensor."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, item in raw.items.items():
        if isinstance(item, Mapping):
            tensors = {str(k): v for k, v in item.items() if isinstance(v, Tensor)}
            if tensors:
                groups[str(key)] = tensors
    return groups


def is_one_concept(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are one concept: one tensor, or one for each text encoder of a family."""
    return len(tensors) == 1 or len(group_by_width(tensors) or ()) == 1


def is_like_a_prompt(count: int, columns: int) -> bool:
    """Whether `[count, columns]` is the usual shape of an encoded prompt."""
    if columns == 4096:
        return count in (256, 512)
    return columns in (768, 1024, 1280, 2048) and count > 0 and count % _PROMPT_ROWS == 0


def check_not_a_prompt(raw: RawContent) -> None:
    """Refuse an encoded prompt: a text encoder's output, with a row for each position.

    Raises:
        ConceptError: a tensor looks like one, and we did not write the file.
    """
    if raw.is_ours:
        return
    for key, tensor in raw.tensors.items():
        count = row_count(tensor)
        if tensor.ndim == 2 and is_like_a_prompt(count, width(tensor)):
            raise ConceptError(
                f"{raw.where} holds no embedding: {brief(key, 60)!r} has {count} rows, one for "
                "each position of a whole prompt. This is an encoded prompt, the output of a text "
                "encoder; an embedding is its input."
            )


def has_weights(raw: RawContent) -> bool:
    """Whether the file holds weights of a network."""
    return any(map(is_network_weight, nested_names(raw.items)))
