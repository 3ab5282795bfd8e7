"""safetensors files. The same tensors and metadata always give the same bytes."""

import json
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pseudoword.errors import ConceptError
from pseudoword.formats.file_kinds import kind_of_names
from pseudoword.formats.raw_content import MOST_NUMBERS, Quirk, RawContent
from pseudoword.text import reason

Entries = dict[str, dict[str, Any]]
"""The header: tensor name -> dtype, shape, data_offsets; and `METADATA` -> texts."""

METADATA = "__metadata__"

LARGEST_HEADER_NBYTES = 16 << 20
"""More than any LoRA's header has."""

MOST_TENSORS = 1 << 14
"""More than any LoRA has."""

_BROKEN = (
    *(safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError),
    *(RuntimeError, RecursionError),
)


def matches(data: bytes) -> bool:
    """Whether `data` begins with the length of a header and a JSON object."""
    length = int.from_bytes(data[:8], "little")
    return len(data) >= 10 and length <= LARGEST_HEADER_NBYTES and data[8:9] == b"{"


def read(data: bytes, where: str) -> RawContent:
    """Read a safetensors file; the tensors are in the order of the file.

    Raises:
        ConceptError: it is no safetensors file, or damaged.
    """
    try:
        entries, numbers = _parts(data, where)
        given = entries.pop(METADATA, None)
        metadata = _metadata_texts(given)
        if len(entries) > MOST_TENSORS:
            kind = kind_of_names(islice(entries, MOST_TENSORS))
            what = kind.what if kind else "a model"
            raise ConceptError(f"{where} holds {len(entries)} tensors: it is {what}.")
        plain = given in (metadata, None)
        loaded = load_tensors(data if plain else _with_header(entries, numbers))
        order = sorted(entries, key=lambda name: entries[name]["data_offsets"])
    except _BROKEN as error:
        raise ConceptError(
            f"{where} is not a safetensors file, or damaged ({reason(error)})"
        ) from error
    tensors = {name: loaded[name] for name in order}  # the library returns them in random order
    quirks: frozenset[Quirk] = frozenset() if plain else frozenset({"metadata"})
    return RawContent(tensors, where, "safetensors", metadata, quirks=quirks)


def _parts(data: bytes, where: str) -> tuple[Entries, bytes]:
    """The JSON header of a file, and the bytes of its tensors.

    Raises:
        ConceptError: the file is shorter than its header says.
    """
    needed, at_least = 8 + int.from_bytes(data[:8], "little"), "at least "
    if len(data) >= needed:
        entries, numbers = split_header(data)
        ends = (one["data_offsets"][1] for name, one in entries.items() if name != METADATA)
        needed, at_least = needed + max(ends, default=0), ""
        if len(data) >= needed:
            return entries, numbers
    raise ConceptError(
        f"{where} was not downloaded to its end: it has {len(data)} bytes of {at_least}"
        f"{needed}. Download it again."
    )


def _metadata_texts(metadata: object) -> dict[str, str]:
    """The metadata as a dict of texts, which it should be; some tools write other values."""
    values = metadata if isinstance(metadata, dict) else {}
    return {key: v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


def write(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a file; the same tensors and metadata always give the same bytes."""
    whole = {key: t.detach().cpu().float().contiguous().clone() for key, t in tensors.items()}
    return _with_header(*split_header(save_tensors(whole, dict(metadata))))


def read_entries(path: Path, where: str) -> tuple[Entries, dict[str, str]]:
    """The header of a file of any size: its tensors and its metadata; empty if it has none.

    Raises:
        ConceptError: it is damaged.
    """
    with path.open("rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or not 0 < length <= LARGEST_HEADER_NBYTES:
            return {}, {}
        try:
            entries = json.loads(b"{" + file.read(length - 1))
            metadata = _metadata_texts(entries.pop(METADATA, None))
            order = sorted(entries, key=lambda name: entries[name]["data_offsets"])
            if not all(isinstance(entry["shape"], list) for entry in entries.values()):
                raise ValueError("not a shape")
        except _BROKEN as error:
            raise ConceptError(f"{where} is a damaged safetensors file.") from error
    return {name: entries[name] for name in order}, metadata


def extract_tensors(path: Path, where: str, names: Collection[str]) -> bytes:
    """Read some tensors of a file of any size, as a small safetensors file with the same metadata.

    Raises:
        ConceptError: it is damaged.
    """
    entries, metadata = read_entries(path, where)
    kept: dict[str, Any] = {}
    data = b""
    with path.open("rb") as file:
        base = 8 + int.from_bytes(file.read(8), "little")
        try:
            for name in names:
                first, last = entries[name]["data_offsets"]
                if not 0 <= first <= last or len(data) + last - first > 4 * MOST_NUMBERS:
                    raise ValueError("too large")
                file.seek(base + first)
                place = [len(data), len(data) + last - first]
                kept[name] = {**entries[name], "data_offsets": place}
                data += file.read(last - first)
            return _with_header({METADATA: metadata, **kept}, data)
        except _BROKEN as error:
            raise ConceptError(f"{where} is a damaged safetensors file.") from error


def _with_header(entries: Entries, numbers: bytes) -> bytes:
    """A file; the header is sorted, since the library writes metadata in random order."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + numbers


def split_header(data: bytes) -> tuple[Entries, bytes]:
    """The JSON header of a safetensors file, and the bytes of its tensors."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]
