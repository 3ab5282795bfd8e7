"""torch's `.pt` and `.bin`: a zip with a pickle in it. Nothing in the pickle is ever executed.

Three locks: the zip is unpacked here with every size checked, the pickle's opcodes are looked
through for names outside a short list, and what is left goes to `torch.load(weights_only=True)`.
There is no fallback.
"""

import io
import pickletools
import struct
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor

from pseudoword.errors import ConceptError
from pseudoword.formats.loose import MOST_NUMBERS, MOST_WORDS, Loose, parameters, texts

LARGEST_PICKLE_NBYTES = 1 << 20
"""The pickle holds names and shapes only; the numbers lie beside it."""

MOST_ITEMS = 1 << 16
"""Entries in all of the file's dicts and lists."""

_DTYPES = "Float Double Half BFloat16 Long Int Short Char Byte Bool".split()

ALLOWED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.nn.modules.container ParameterDict",  # the original paper's code
    "__builtin__ set",  # inside a ParameterDict
    "builtins set",
    *(f"torch {dtype}Storage" for dtype in _DTYPES),
}
"""All that an embedding's pickle may name."""

_ZIP_ERRORS = (
    *(zipfile.BadZipFile, struct.error, OSError, RuntimeError, ValueError, EOFError),
    *(LookupError, OverflowError),
)
_CALLS = {"INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "STACK_GLOBAL", "PERSID"}


def matches(data: bytes) -> bool:
    """Whether this is a zip, or a pickle without one."""
    return data[:4] == b"PK\x03\x04" or data[:1] == b"\x80"


def read(data: bytes, where: str) -> Loose:
    """Read a torch file.

    Raises:
        ConceptError: damaged, larger inside than outside, or more than tensors, numbers and names.
    """
    if data[:1] == b"\x80":
        _scan(data[:LARGEST_PICKLE_NBYTES], where)
        raise ConceptError(
            f"{where} is a bare pickle, not a zip as torch writes it since 1.6. "
            "Load it where you trust it and save it again with a newer torch."
        )
    members = _members(data, where)
    _scan(members["data.pkl"], where)
    try:
        with torch.serialization.safe_globals([torch.nn.ParameterDict]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(_zipped(members), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way an opcode can
        raise ConceptError(f"{where} is damaged: {_first_line(error)}") from error
    _check_total(found, where)
    items = _named(found, where)
    ours = items.get("pseudoword")
    said = texts(ours, {k: k for k in ours if isinstance(k, str)}) if _is_dict(ours) else {}
    return Loose(items, where, "torch", {f"pseudoword.{key}": text for key, text in said.items()})


def write(items: Mapping[str, Any]) -> bytes:
    """The bytes of a torch file; the same items always give the same bytes."""
    buffer = io.BytesIO()
    torch.save({k: v.clone() if isinstance(v, Tensor) else v for k, v in items.items()}, buffer)
    return buffer.getvalue()


def _members(data: bytes, where: str) -> dict[str, bytes]:
    """The parts of the archive that hold tensors, by their name inside its one folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_sizes(infos, len(data), where)
            members = {i.filename.partition("/")[2]: archive.read(i) for i in infos if _kept(i)}
    except _ZIP_ERRORS as error:
        raise ConceptError(f"{where} is a damaged zip: {_first_line(error)}") from error
    if "data.pkl" not in members:
        raise ConceptError(f"{where} is a zip, but not one that torch wrote: it has no data.pkl")
    if len(members["data.pkl"]) > LARGEST_PICKLE_NBYTES:
        raise ConceptError(f"{where} has a pickle too large for an embedding. Is this a model?")
    return members


def _check_sizes(infos: list[zipfile.ZipInfo], nbytes: int, where: str) -> None:
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED:
            raise ConceptError(
                f"{where} is a compressed zip; torch never compresses. This may be a zip bomb, "
                "or several files packed together: unpack it and give the embedding itself."
            )
        if ".." in info.filename.split("/") or info.filename.startswith(("/", "\\")):
            raise ConceptError(f"{where} holds the path {info.filename[:80]!r}: refused")
    if len({i.filename.partition("/")[0] for i in infos}) > 1 or len(infos) > MOST_WORDS:
        raise ConceptError(f"{where} is a zip, but not one that torch wrote")
    if sum(info.file_size for info in infos) > nbytes:
        raise ConceptError(f"{where} claims to hold more than it has bytes: a damaged file or bomb")


def _kept(info: zipfile.ZipInfo) -> bool:
    inside = info.filename.partition("/")[2]
    return inside in ("data.pkl", "byteorder") or inside.startswith("data/")


def _zipped(members: Mapping[str, bytes]) -> io.BytesIO:
    """A clean archive, so that torch's reader sees exactly what was checked here."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**members, "version": b"3\n"}.items():
            archive.writestr(f"archive/{name}", content)
    buffer.seek(0)
    return buffer


def _scan(pickled: bytes, where: str) -> None:
    """Look through the opcodes without running them.

    Raises:
        ConceptError: a name outside `ALLOWED`, or an opcode that torch does not write.
    """
    named: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "GLOBAL":
                named.append(str(argument))
            if opcode.name in _CALLS:
                said = str(argument) if opcode.name == "INST" else opcode.name
                raise _refusal(where, [said.replace(" ", ".")])
    except ConceptError:
        raise
    except Exception as error:  # genops raises whatever its argument readers raise
        raise ConceptError(f"{where} is damaged: {_first_line(error)}") from error
    strange = sorted(set(named) - ALLOWED)
    if strange:
        raise _refusal(where, [name.replace(" ", ".") for name in strange])


def _refusal(where: str, names: list[str]) -> ConceptError:
    shown = ", ".join(name[:80] for name in names[:3]) + (" …" if len(names) > 3 else "")
    if any("neti" in name.lower() or "mapper" in name.lower() for name in names):
        why = (
            "This is a NeTI mapper: part of it, the random Fourier matrix, exists only as a "
            "pickled Python object. Export it to safetensors with the code that made it."
        )
    else:
        why = (
            "An embedding needs nothing of the kind, and this may be an attack. Get the file "
            "as .safetensors from a source you trust."
        )
    return ConceptError(f"{where} is refused: reading it would run Python code ({shown}). {why}")


def _check_total(found: object, where: str) -> None:
    """Refuse many tensors over one storage, which are small in the file and large when read."""
    left, numbers, seen = [(found, 0)], 0, 0
    while left:
        item, depth = left.pop()
        seen += 1
        if isinstance(item, Tensor):
            numbers += item.numel()
        elif depth < 3 and isinstance(item, torch.nn.ParameterDict):
            left.append((parameters(item), depth + 1))
        elif depth < 3 and isinstance(item, Mapping | list):
            inside = item.values() if isinstance(item, Mapping) else item
            if len(inside) > MOST_ITEMS:
                seen = MOST_ITEMS
            else:
                left += [(one, depth + 1) for one in inside]
        if numbers > MOST_NUMBERS or seen + len(left) > MOST_ITEMS:
            raise ConceptError(f"{where} is too large for an embedding. Is this a model?")


def _is_dict(found: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(found, Mapping)


def _named(found: object, where: str) -> dict[str, Any]:
    """The loaded object as a dict: a bare tensor and a list of dicts are embeddings too."""
    if isinstance(found, Tensor):
        return {"": found}
    if isinstance(found, list) and found and all(isinstance(part, Mapping) for part in found):
        found = {f"{i}": t for i, t in enumerate(_joined(found))}
        return found if len(found) != 1 else {"": found["0"]}
    if not isinstance(found, Mapping):
        raise ConceptError(f"{where} holds a {type(found).__name__}, not an embedding")
    return {str(key): value for key, value in found.items()}


def _joined(parts: list[Mapping[str, Any]]) -> list[Tensor]:
    """Tensors of a list of dicts, put together by width, as ComfyUI does."""
    by_width: dict[int, list[Tensor]] = {}
    for part in parts[:MOST_WORDS]:
        for tensor in part.values():
            if isinstance(tensor, Tensor) and tensor.ndim in (1, 2) and tensor.numel():
                flat = tensor.detach().reshape(-1, tensor.shape[-1])
                by_width.setdefault(flat.shape[1], []).append(flat)
    return [torch.cat(same) for same in by_width.values()]


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:200]
