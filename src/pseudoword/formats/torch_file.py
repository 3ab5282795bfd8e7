"""torch's `.pt` and `.bin`: a zip with a pickle in it. Nothing in the pickle is ever executed.

Three locks: the zip is unpacked here with every size checked, the pickle's opcodes are looked
through for names outside a short list, and what is left goes to `torch.load(weights_only=True)`.
There is no fallback.
"""

import io
import itertools
import json
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pseudoword.errors import ConceptError
from pseudoword.formats import torch_zip
from pseudoword.formats.file_kinds import kind_of_names, nested_names
from pseudoword.formats.raw_content import (
    MOST_NUMBERS,
    MOST_WORDS,
    Form,
    Quirk,
    RawContent,
    parameter_tensors,
    plain_values,
)
from pseudoword.formats.torch_zip import ALLOWED_GLOBALS, Limits, scan_pickle
from pseudoword.text import reason

LIMITS = Limits()

MOST_ITEMS = 1 << 16
"""Entries in all of the file's dicts and lists."""

A1111_GLOBALS = ALLOWED_GLOBALS - {
    *("builtins set", "torch CharStorage", "torch ShortStorage", "torch BoolStorage")
}
"""Those of them that AUTOMATIC1111 takes."""

_TORCH_1_FILES = re.compile(r"data\.pkl|data/\d+|version")
"""The files in a zip that AUTOMATIC1111 takes; torch writes more since 2.1."""

METADATA_KEY = "pseudoword"
"""The entry with what we say of a word."""

ALIGNMENT = 64
"""Bytes; where numbers begin in the files that torch writes."""


def matches(data: bytes) -> bool:
    """Whether this is a zip, or a pickle without one."""
    return data[:4] == b"PK\x03\x04" or data[:1] == b"\x80"


def read(data: bytes, where: str) -> RawContent:
    """Read a torch file.

    Raises:
        ConceptError: damaged, larger inside than outside, or more than tensors, numbers and names.
    """
    if data[:1] == b"\x80":
        start = data[: LIMITS.most_pickle_nbytes]
        _refuse_model(start, where)
        scan_pickle(start, where, LIMITS)
        raise ConceptError(
            f"{where} is a bare pickle, not a zip as torch writes it since 1.6. "
            "Load it where you trust it and save it again with a newer torch."
        )
    members = _members(data, where)
    named = scan_pickle(members["data.pkl"], where, LIMITS)
    try:
        with torch.serialization.safe_globals([torch.nn.ParameterDict]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(_zipped(members), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way an opcode can
        _refuse_model(members["data.pkl"], where)
        raise ConceptError(f"{where} is damaged: {reason(error)}") from error
    _check_size(found, where)
    items, form = _as_dict(found, where)
    said = _our_metadata(items.get(METADATA_KEY))
    return RawContent(items, where, "torch", said, form, _quirks(data, named))


def write(items: Mapping[str, Any]) -> bytes:
    """The bytes of a torch file; the same items always give the same bytes.

    It holds what torch 1.6 put into a file and no more: AUTOMATIC1111 calls others malicious.
    """
    buffer = io.BytesIO()
    torch.save({k: v.clone() if isinstance(v, Tensor) else v for k, v in items.items()}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {i.filename.partition("/")[2]: archive.read(i) for i in archive.infolist()}
    return _zipped({k: v for k, v in members.items() if _TORCH_1_FILES.fullmatch(k)}).getvalue()


def metadata_tensor(said: Mapping[str, str]) -> Tensor:
    """Texts as a tensor, for tools that choke on anything else; `read` takes it as metadata."""
    return torch.tensor(list(json.dumps(dict(said)).encode()), dtype=torch.uint8)


def _our_metadata(found: object) -> dict[str, str]:
    """What we wrote of a word beside it, as metadata."""
    if isinstance(found, Tensor) and found.dtype == torch.uint8 and found.ndim == 1:
        try:
            found = json.loads(bytes(found.tolist()))
        except (ValueError, RecursionError):
            return {}
    if not isinstance(found, Mapping):
        return {}
    said = plain_values(found, {key: key for key in found if isinstance(key, str)})
    return {f"{METADATA_KEY}.{key}": text for key, text in said.items()}


def _quirks(data: bytes, named: Collection[str]) -> frozenset[Quirk]:
    """What of this file other tools stumble over."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = [name.partition("/")[2] for name in archive.namelist()]
    quirks: set[Quirk] = set()
    if not all(_TORCH_1_FILES.fullmatch(name) for name in inside) or not A1111_GLOBALS.issuperset(
        named
    ):
        quirks.add("newer torch")
    if any("ParameterDict" in name for name in named):
        quirks.add("ParameterDict")
    return frozenset(quirks)


def _members(data: bytes, where: str) -> dict[str, bytes]:
    """The parts of the archive that hold tensors, by their name inside its one folder."""
    with torch_zip.open_archive(io.BytesIO(data), len(data), where, LIMITS) as archive:
        kept = {name: archive.read(name) for name in archive.members if _is_kept(name)}
    if len(kept["data.pkl"]) > LIMITS.most_pickle_nbytes:
        _refuse_model(kept["data.pkl"][: LIMITS.most_pickle_nbytes], where)
        raise ConceptError(f"{where} has a pickle too large for an embedding. Is this a model?")
    return kept


def _is_kept(name: str) -> bool:
    return name in ("data.pkl", "byteorder") or name.startswith("data/")


def _zipped(members: Mapping[str, bytes]) -> io.BytesIO:
    """A clean archive with nothing but `members`; each begins where torch would put it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**members, "version": b"3\n"}.items():
            info = zipfile.ZipInfo(f"archive/{name}")  # dated 1980, always
            room = -(buffer.tell() + 30 + len(info.filename) + 4) % ALIGNMENT
            info.extra = struct.pack("<2sH", b"FB", room) + b"Z" * room
            archive.writestr(info, content)
    buffer.seek(0)
    return buffer


def _refuse_model(pickled: bytes, where: str) -> None:
    """Raise if the texts in a pickle, or in several one after the other, are those of a model."""
    file, found = io.BytesIO(pickled), list[str]()
    try:
        while len(found) < MOST_ITEMS and file.tell() < len(pickled):
            texts_in = (
                a
                for o, a, _ in pickletools.genops(file)
                if "UNICODE" in o.name or "STRING" in o.name
            )
            found += [str(text)[:200] for text in itertools.islice(texts_in, MOST_ITEMS)]
    except Exception:  # cut off, or damaged: what was read until then tells enough
        pass
    kind = kind_of_names(found)
    if kind is not None:
        raise ConceptError(f"{where} is {kind.what}, not an embedding. {kind.advice}.")


def _check_size(found: object, where: str) -> None:
    """Refuse what is small in the file and large when read: tensors over one storage, or a part."""
    left, numbers, seen = [(found, 0)], 0, 0
    while left:
        item, depth = left.pop()
        seen += 1
        if isinstance(item, Tensor):
            numbers += item.numel()
            if item.numel() * item.element_size() > item.untyped_storage().nbytes():
                seen = MOST_ITEMS + 1
        elif depth < 3 and isinstance(item, torch.nn.ParameterDict):
            left.append((parameter_tensors(item), depth + 1))
        elif depth < 3 and isinstance(item, Mapping | list | tuple):
            inside = item.values() if isinstance(item, Mapping) else item
            if len(inside) > MOST_ITEMS:
                seen = MOST_ITEMS
            else:
                left += [(one, depth + 1) for one in inside]
        if numbers > MOST_NUMBERS or seen + len(left) > MOST_ITEMS:
            kind = kind_of_names(nested_names(found))
            what = f"This is {kind.what}. {kind.advice}." if kind else "Is this a model?"
            raise ConceptError(f"{where} is too large for an embedding. {what}")


def _as_dict(found: object, where: str) -> tuple[dict[str, Any], Form]:
    """The loaded object as a dict: a bare tensor and a list are embeddings too."""
    if isinstance(found, Tensor):
        return {"": found}, "tensor"
    if isinstance(found, list | tuple) and found:
        several: Sequence[object] = found
        form: Form = "other"
        if all(isinstance(part, Mapping) for part in found) and not kind_of_names(
            nested_names(found)
        ):
            several = _joined_by_width(found)
            form = "list" if isinstance(found, list) else "other"
        items = {str(i): part for i, part in enumerate(several)}
        return items if len(items) != 1 else {"": items["0"]}, form
    if not isinstance(found, Mapping):
        raise ConceptError(f"{where} holds a {type(found).__name__}, not an embedding")
    plain = all(isinstance(key, str) for key in found)
    return {str(key): value for key, value in found.items()}, "dict" if plain else "other"


def _joined_by_width(parts: Sequence[Mapping[str, Any]]) -> list[Tensor]:
    """Tensors of a list of dicts, put together by width, as ComfyUI does."""
    group_by_width: dict[int, list[Tensor]] = {}
    for part in parts[:MOST_WORDS]:
        for tensor in part.values():
            if isinstance(tensor, Tensor) and tensor.ndim in (1, 2) and tensor.numel():
                flat = tensor.detach().reshape(-1, tensor.shape[-1])
                group_by_width.setdefault(flat.shape[1], []).append(flat)
    return [torch.cat(same) for same in group_by_width.values()]
