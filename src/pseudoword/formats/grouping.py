"""Which tensors of a file are words, and which belong together: by their widths, not their names.

Names count only where they say what a tensor is *not*, or where a file marks its words.
"""

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
"""Prefix of a word that a LoRA brings along."""

_EMBED_VALUE = "<embed>"
"""What cloneofsimo's LoRAs have in the metadata under the name of each word."""

_PROMPT_ROWS = 77
"""Positions of CLIP: as many rows, or twice, are a whole prompt that went through it."""

_ENCODER_NAME = re.compile(r"[._-](te|clip|emb|text_encoders?)$|^(te|clip|emb|text_encoders?)$")
"""What is left of the names of encoders where they are the same."""

ConceptTensors = dict[str, tuple[str, Tensor]]
"""A word: name in the file -> text encoder, rows."""


def embeddings_in_lora(
    shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, object]
) -> list[str]:
    """Which tensors of a LoRA are words, or parts of one: marked as such, or beside its weights.

    Args:
        shapes: name of each tensor -> its shape.
        metadata: the file's.
    """
    others = {name: shape for name, shape in shapes.items() if not is_network_weight(name)}
    marked = [n for n in others if n.startswith(BUNDLE_PREFIX) or metadata.get(n) == _EMBED_VALUE]
    if marked or len(others) == len(shapes):
        return marked
    named = [name for name in others if name.startswith("<") and name.endswith(">")]
    named = named or [n for n in others if n in keys.UNNAMED or keys.encoder_of(n, 0) is not None]
    together = all(others.values()) and keys.encoders_of_widths(
        [shape[-1] for shape in others.values()]
    )
    return named or (list(others) if together else [])


def width(tensor: Tensor) -> int:
    """Of its rows; 0 for a single number."""
    return tensor.shape[-1] if tensor.ndim else 0


def row_count(tensor: Tensor) -> int:
    """How many rows it has."""
    return tensor.shape[0] if tensor.ndim > 1 else 1


def embedding_tensors(raw: RawContent) -> dict[str, Tensor]:
    """The tensors without what some tools put beside them: a step, the ids of tokens."""
    found = raw.tensors
    likely = {k: t for k, t in found.items() if t.numel() > 1 and t.is_floating_point()}
    return likely or found


def group_by_width(tensors: Mapping[str, Tensor]) -> list[ConceptTensors] | None:
    """Tensors of several widths sorted into words, if some family reads these widths together.

    Returns:
        For each word: name in the file -> encoder, tensor. None if there are no such words.
    """
    several: defaultdict[int, list[str]] = defaultdict(list)
    for name, tensor in tensors.items():
        several[width(tensor)].append(name)
    encoders = keys.encoders_of_widths(list(several))
    if encoders is None or len({len(names) for names in several.values()}) > 1:
        return None
    found = []
    for names in zip(*several.values(), strict=True):
        if len({row_count(tensors[name]) for name in names}) > 1:
            return None
        found.append({n: (e, tensors[n]) for n, e in zip(names, encoders, strict=True)})
    return found


def bracketed_token(names: Sequence[str]) -> str | None:
    """The token `<…>` that all names have in them, if there is one."""
    found = {name[name.find("<") : name.rfind(">") + 1] for name in names}
    return found.pop() or None if len(found) == 1 else None


def common_token(names: Sequence[str]) -> str | None:
    """The token in the names that a word's tensors have: what they share."""
    start = _same_start(names)
    end = _same_start([name[::-1] for name in names])[::-1]
    shared = _ENCODER_NAME.sub("", max(start, end, key=len).strip("._-:/ "))
    return bracketed_token(names) or shared or None


def _same_start(names: Sequence[str]) -> str:
    same = 0
    for letters in zip(*names, strict=False):
        if len(set(letters)) > 1:
            break
        same += 1
    return names[0][:same]


def nested_tensors(raw: RawContent) -> dict[str, dict[str, Tensor]]:
    """The dicts of tensors among the items."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, inside in raw.items.items():
        if isinstance(inside, Mapping):
            tensors = {str(k): v for k, v in inside.items() if isinstance(v, Tensor)}
            if tensors:
                found[str(key)] = tensors
    return found


def is_one_concept(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are one word: one tensor, or one for each encoder of a family."""
    return len(tensors) == 1 or len(group_by_width(tensors) or ()) == 1


def check_not_a_prompt(raw: RawContent) -> None:
    """Refuse what came out of a text encoder: a row for each position of a prompt.

    Raises:
        ConceptError: a tensor is one.
    """
    for key, tensor in raw.tensors.items():
        wide, several = width(tensor), row_count(tensor)
        if tensor.ndim == 2 and (
            (wide in (768, 1024, 1280, 2048) and several % _PROMPT_ROWS == 0)
            or (wide == 4096 and several in (256, 512))
        ):
            raise ConceptError(
                f"{raw.where} holds no embedding: {brief(key, 60)!r} has {several} rows, one for "
                "each position of a whole prompt. This is an encoded prompt (what comes out of a "
                "text encoder); a word is what goes in."
            )


def has_weights(raw: RawContent) -> bool:
    """Whether parts of a network are among what the file holds."""
    return any(map(is_network_weight, nested_names(raw.items)))
