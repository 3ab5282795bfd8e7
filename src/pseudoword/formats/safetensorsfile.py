"""safetensors, read with the library that defines it, and written so that bytes repeat."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pseudoword.errors import ConceptError
from pseudoword.formats.loose import MOST_NUMBERS, Loose

LARGEST_HEADER_NBYTES = 16 << 20
"""More than the header of any LoRA."""


def matches(data: bytes) -> bool:
    """Whether `data` starts with a header's length and a JSON object."""
    length = int.from_bytes(data[:8], "little")
    return len(data) >= 10 and length <= LARGEST_HEADER_NBYTES and data[8:9] == b"{"


def read(data: bytes, where: str) -> Loose:
    """Read a safetensors file.

    Raises:
        ConceptError: it is none, or damaged.
    """
    length = int.from_bytes(data[:8], "little")
    if length > LARGEST_HEADER_NBYTES:
        raise ConceptError(f"{where} is not a safetensors file (its header has {length} bytes)")
    try:
        tensors = load_tensors(data)
        metadata = header(data)[0].get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ConceptError(f"{where} is not a safetensors file, or damaged ({error})") from error
    return Loose(tensors, where, "safetensors", metadata)


def write(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a file; the same tensors and metadata always give the same bytes."""
    whole = {key: t.detach().cpu().float().contiguous().clone() for key, t in tensors.items()}
    return canonical(save_tensors(whole, dict(metadata)))


def only_bundled(path: Path, where: str) -> bytes:
    """The embeddings inside a LoRA of any size, as a small safetensors file of their own.

    Raises:
        ConceptError: there are none.
    """
    with path.open("rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or length > LARGEST_HEADER_NBYTES:
            return b""
        try:
            entries = json.loads(b"{" + file.read(length - 1))
            return _slice(file, 8 + length, entries, where)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConceptError(f"{where} is a damaged safetensors file ({error})") from error


def _slice(file: BinaryIO, base: int, entries: dict[str, Any], where: str) -> bytes:
    kept: dict[str, Any] = {}
    data = b""
    for name, entry in entries.items():
        if name.startswith("bundle_emb."):
            first, last = entry["data_offsets"]
            if not 0 <= first <= last or len(data) + last - first > 4 * MOST_NUMBERS:
                raise ConceptError(f"{where} is a damaged safetensors file")
            file.seek(base + first)
            kept[name] = {**entry, "data_offsets": [len(data), len(data) + last - first]}
            data += file.read(last - first)
    if not kept:
        return b""
    text = json.dumps(kept).encode()
    return len(text).to_bytes(8, "little") + text + data


def header(data: bytes) -> tuple[dict[str, dict[str, str]], bytes]:
    """A safetensors file's JSON header, and the tensors' bytes."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def canonical(data: bytes) -> bytes:
    """The same file with its header sorted: the library writes metadata in a random order."""
    entries, tensors = header(data)
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + tensors
