"""torch's `.pt` and `.bin` files: a zip with a pickle in it. The pickle is never executed.

Three checks: the zip is unpacked here, with a limit for every size; the pickle may only name what
is on a short list; then `torch.load(weights_only=True)` reads it. There is no fallback.
"""

import io
import itertools
import json
import pickletools
import re
import struct
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pseudoword.errors import ConceptError
from pseudoword.formats import torch_zip
from pseudoword.formats.file_kinds import kind_of_names, nested_names
from pseudoword.formats.raw_content import (
    MOST_CONCEPTS,
    MOST_NUMBERS,
    PREFIX,
    Form,
    Quirk,
    RawContent,
    parameter_tensors,
    plain_values,
)
from pseudoword.formats.torch_zip import ALLOWED_GLOBALS, Limits, scan_pickle, with_parameter_dicts
from pseudoword.process_wide import without_warnings
from pseudoword.text import reason

LIMITS = Limits()

MOST_ITEMS = 1 << 16
"""Entries in all dicts and lists of the file together."""

A1111_GLOBALS = ALLOWED_GLOBALS - {
    *("builtins set", "torch CharStorage", "torch ShortStorage", "torch BoolStorage")
}
"""The names in a pickle that AUTOMATIC1111 accepts."""

_TORCH_1_FILES = re.compile(r"data\.pkl|data/\d+|version")
"""The files in a zip that AUTOMATIC1111 accepts; torch writes more since 2.1."""

METADATA_KEY = "pseudoword"
"""The entry that holds our metadata."""

ALIGNMENT = 64
"""Bytes; torch begins each file in its zip at a multiple of this."""


def matches(data: bytes) -> bool:
    """Whether this is a zip, or a bare pickle."""
    return data[:4] == b"PK\x03\x04" or data[:1] == b"\x80"


def read(data: bytes, where: str) -> RawContent:
    """Read a torch file.

    Raises:
        ConceptError: it is damaged, too large when unpacked, or names more than tensors need.
    """
    if data[:1] == b"\x80":
        start = data[: LIMITS.most_pickle_nbytes]
        _refuse_model(start, where)
        scan_pickle(start, where, LIMITS)
        raise ConceptError(
            f"{where} is a bare pickle, not a zip as torch writes it since 1.6. "
            "Load it where you trust it and save it again with a newer torch."
        )
    inside, members = _members(data, where)
    names = scan_pickle(members["data.pkl"], where, LIMITS)
    try:
        with with_parameter_dicts, without_warnings:
            loaded = torch.load(_zipped(members), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way an opcode can
        _refuse_model(members["data.pkl"], where)
        raise ConceptError(f"{where} is damaged: {reason(error)}") from error
    _check_size(loaded, where)
    items, form = _as_dict(loaded, where)
    metadata = _our_metadata(items.get(METADATA_KEY))
    return RawContent(items, where, "torch", metadata, form, _quirks(inside, names))


def write(items: Mapping[str, Any]) -> bytes:
    """The bytes of a torch file; the same items always give the same bytes.

    It holds only what torch 1.6 wrote, because AUTOMATIC1111 refuses more as malicious.
    """
    buffer = io.BytesIO()
    torch.save(dict(items), buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {i.filename.partition("/")[2]: archive.read(i) for i in archive.infolist()}
    return _zipped({k: v for k, v in members.items() if _TORCH_1_FILES.fullmatch(k)}).getvalue()


def metadata_tensor(metadata: Mapping[str, str]) -> Tensor:
    """Texts as a tensor of bytes, for tools that accept tensors only; `read` understands it."""
    return torch.tensor(list(json.dumps(dict(metadata)).encode()), dtype=torch.uint8)


def _our_metadata(item: object) -> dict[str, str]:
    """The metadata that we wrote into a file, as a dict or as a tensor of bytes."""
    if isinstance(item, Tensor) and item.dtype == torch.uint8 and item.ndim == 1:
        try:
            item = json.loads(bytes(item.tolist()))
        except (ValueError, RecursionError):
            return {}
    if not isinstance(item, Mapping):
        return {}
    return {f"{PREFIX}{key}": text for key, text in plain_values(item).items()}


def _quirks(inside: Iterable[str], names: Collection[str]) -> frozenset[Quirk]:
    """What other tools may not be able to read, of these files and names in the pickle."""
    quirks: set[Quirk] = set()
    if not all(map(_TORCH_1_FILES.fullmatch, inside)) or not A1111_GLOBALS.issuperset(names):
        quirks.add("newer torch")
    if any("ParameterDict" in name for name in names):
        quirks.add("ParameterDict")
    return frozenset(quirks)


def _members(data: bytes, where: str) -> tuple[list[str], dict[str, bytes]]:
    """The names of the files in the zip's folder, and the bytes of those that hold tensors."""
    with torch_zip.open_archive(io.BytesIO(data), len(data), where, LIMITS) as archive:
        inside = list(archive.members)
        kept = {
            name: archive.read(name)
            for name in inside
            if name in ("data.pkl", "byteorder") or name.startswith("data/")
        }
    if len(kept["data.pkl"]) > LIMITS.most_pickle_nbytes:
        _refuse_model(kept["data.pkl"][: LIMITS.most_pickle_nbytes], where)
        raise ConceptError(f"{where} has a pickle too large for an embedding. Is this a model?")
    return inside, kept


def _zipped(members: Mapping[str, bytes]) -> io.BytesIO:
    """A new zip of `members` only, aligned as torch does it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**members, "version": b"3\n"}.items():
            info = zipfile.ZipInfo(f"archive/{name}")  # its date is always 1980
            room = -(buffer.tell() + 30 + len(info.filename) + 4) % ALIGNMENT
            info.extra = struct.pack("<2sH", b"FB", room) + b"Z" * room
            archive.writestr(info, content)
    buffer.seek(0)
    return buffer


def _refuse_model(pickled: bytes, where: str) -> None:
    """Raise if the texts in a pickle (or several in a row) are names of a model's weights."""
    file, texts = io.BytesIO(pickled), list[str]()
    try:
        while len(texts) < MOST_ITEMS and file.tell() < len(pickled):
            arguments = (
                argument
                for opcode, argument, _ in pickletools.genops(file)
                if "UNICODE" in opcode.name or "STRING" in opcode.name
            )
            texts += [str(text)[:200] for text in itertools.islice(arguments, MOST_ITEMS)]
    except Exception:  # cut off or damaged: the texts so far are enough
        pass
    kind = kind_of_names(texts)
    if kind is not None:
        raise ConceptError(f"{where} is {kind.what}, not an embedding. {kind.advice}.")


def _check_size(loaded: object, where: str) -> None:
    """Refuse what is small in the file and large in memory: views of one storage, shared lists."""
    queue, numbers, count = [(loaded, 0)], 0, 0
    while queue:
        item, depth = queue.pop()
        count += 1
        repeats = False
        if isinstance(item, Tensor):
            numbers += item.numel()
            repeats = item.numel() * item.element_size() > item.untyped_storage().nbytes()
        elif depth < 3 and isinstance(item, torch.nn.ParameterDict):
            queue.append((parameter_tensors(item), depth + 1))
        elif depth < 3 and isinstance(item, Mapping | list | tuple):
            inside = item.values() if isinstance(item, Mapping) else item
            queue += [(value, depth + 1) for value in inside]
        if repeats or numbers > MOST_NUMBERS or count + len(queue) > MOST_ITEMS:
            kind = kind_of_names(nested_names(loaded))
            what = f"This is {kind.what}. {kind.advice}." if kind else "Is this a model?"
            raise ConceptError(f"{where} is too large for an embedding. {what}")


def _as_dict(loaded: object, where: str) -> tuple[dict[str, Any], Form]:
    """The loaded object as a dict, also if it is a bare tensor or a list."""
    if isinstance(loaded, Tensor):
        return {"": loaded}, "tensor"
    if isinstance(loaded, list | tuple) and loaded:
        items: Sequence[object] = loaded
        form: Form = "other"
        if all(isinstance(item, Mapping) for item in loaded) and not kind_of_names(
            nested_names(loaded)
        ):
            items = _joined_by_width(loaded)
            form = "list" if isinstance(loaded, list) else "other"
        numbered = {str(i): item for i, item in enumerate(items)}
        return numbered if len(numbered) != 1 else {"": numbered["0"]}, form
    if not isinstance(loaded, Mapping):
        raise ConceptError(f"{where} holds a {type(loaded).__name__}, not an embedding")
    all_texts = all(isinstance(key, str) for key in loaded)
    return {str(key): value for key, value in loaded.items()}, "dict" if all_texts else "other"


def _joined_by_width(parts: Sequence[Mapping[str, Any]]) -> list[Tensor]:
    """The tensors in a list of dicts, those of one width concatenated, as ComfyUI does it."""
    by_width: dict[int, list[Tensor]] = {}
    for part in parts[:MOST_CONCEPTS]:
        for tensor in part.values():
            if isinstance(tensor, Tensor) and tensor.ndim in (1, 2) and tensor.numel():
                rows = tensor.detach().reshape(-1, tensor.shape[-1])
                by_width.setdefault(rows.shape[1], []).append(rows)
    return [torch.cat(same) for same in by_width.values()]
