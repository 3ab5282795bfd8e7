"""Checks of torch's zip and the pickle in it, before torch reads them. Nothing is executed.

Embeddings, base models and LoRAs all pass two checks: the zip is not larger than it says, and the
pickle names only tensors and containers.
"""

import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from pseudoword.errors import ConceptError, PseudowordError
from pseudoword.process_wide import ProcessWide
from pseudoword.text import listed, reason, visible

_DTYPES = "Float Double Half BFloat16 Long Int Short Char Byte Bool".split()

ALLOWED_GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch.nn.modules.container ParameterDict",  # the original paper's code
        "__builtin__ set",  # inside a ParameterDict
        "builtins set",
        *(f"torch {dtype}Storage" for dtype in _DTYPES),
    }
)
"""The only names that a pickle of tensors may contain."""


with_parameter_dicts = ProcessWide(
    lambda: torch.serialization.safe_globals([torch.nn.ParameterDict])
)
"""A context in which torch also makes a ParameterDict, of all that a pickle may ask for."""

_UNREAD_NUMBERS = re.compile(r"torch (\w+Storage|float[48]_\w+|complex\d+|uint\d+)")
"""The names of kinds of numbers, of which those in `ALLOWED_GLOBALS` are read."""

_BESIDE_NUMBERS = {"torch._utils _rebuild_tensor_v3", "torch.storage UntypedStorage"}
"""What torch also names in a pickle with some of these."""

_BROKEN = (
    *(zipfile.BadZipFile, struct.error, OSError, RuntimeError, ValueError, EOFError),
    *(LookupError, OverflowError),
)
"""Errors that Python's zipfile raises for damaged zips."""

_LONGEST_ENTRY_NBYTES = 256
"""The longest entry of a file in the zip's directory; torch's file names are short."""

MOST_OPCODES = 1 << 20
"""Of a pickle."""

_CALLS = {"INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "STACK_GLOBAL", "PERSID"}


@dataclass(frozen=True)
class Limits:
    """What a file should hold, and the limits for that."""

    what: str = "embedding"
    most_members: int = 4096
    most_pickle_nbytes: int = 1 << 20
    """the pickle holds names and shapes only; the numbers are in other files of the zip"""
    allowed: frozenset[str] = ALLOWED_GLOBALS
    """the names that its pickle may contain"""
    error: type[PseudowordError] = ConceptError
    """what to raise"""


@dataclass(frozen=True)
class Archive:
    """An open zip that has passed the checks."""

    file: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]
    """name inside the zip's only folder -> entry"""

    def read(self, name: str) -> bytes:
        """The bytes of a member."""
        return self.file.read(self.members[name])


@contextmanager
def open_archive(file: BinaryIO, nbytes: int, where: str, limits: Limits) -> Iterator[Archive]:
    """Open a zip of `nbytes` bytes and check it.

    Raises:
        PseudowordError: `limits.error`: torch did not write this, or it is damaged.
    """
    limited = _LimitedReads(file, limits.most_members * _LONGEST_ENTRY_NBYTES)
    try:
        with zipfile.ZipFile(limited) as archive:
            members = _checked_members(archive.infolist(), nbytes, where, limits)
            limited.most_nbytes = nbytes
            yield Archive(archive, members)
    except _BROKEN as error:
        raise limits.error(
            f"{where} is a damaged zip, or was not downloaded to its end ({reason(error)})"
        ) from error


class _LimitedReads:
    """A file that refuses to read more than `most_nbytes` at once: a zip's directory is short."""

    def __init__(self, file: BinaryIO, most_nbytes: int) -> None:
        self._file = file
        self.most_nbytes = most_nbytes

    def read(self, nbytes: int = -1) -> bytes:
        if nbytes > self.most_nbytes:
            raise zipfile.BadZipFile(f"a part of {nbytes} bytes that should be small")
        return self._file.read(nbytes if nbytes >= 0 else self.most_nbytes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _checked_members(
    infos: list[zipfile.ZipInfo], nbytes: int, where: str, limits: Limits
) -> dict[str, zipfile.ZipInfo]:
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED:
            raise limits.error(
                f"{where} is a compressed zip; torch never compresses. This may be a zip bomb, or "
                f"several files packed together: unpack it and give the {limits.what} itself."
            )
        if ".." in info.filename.split("/") or info.filename.startswith(("/", "\\")):
            raise limits.error(f"{where} holds the path {visible(info.filename[:80])!r}: refused")
    members = {info.filename.partition("/")[2]: info for info in infos}
    one_folder = len({info.filename.partition("/")[0] for info in infos}) <= 1
    if not one_folder or len(members) < len(infos) or len(infos) > limits.most_members:
        raise limits.error(f"{where} is a zip, but not one that torch wrote")
    if sum(info.file_size for info in infos) > nbytes:
        raise limits.error(
            f"{where} claims to hold more bytes than it has: it is damaged, or a bomb"
        )
    if "data.pkl" not in members:
        raise limits.error(f"{where} is a zip, but not one that torch wrote: it has no data.pkl")
    return members


def scan_pickle(pickled: bytes | BinaryIO, where: str, limits: Limits) -> set[str]:
    """Go through a pickle's opcodes without executing them.

    Returns:
        The names of the classes and functions in it.

    Raises:
        PseudowordError: `limits.error`: it has a name that is not allowed, or an opcode that torch
            does not write.
    """
    names: set[str] = set()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
            if count > MOST_OPCODES:
                raise limits.error(f"{where} has a pickle too large for its tensors")
            if opcode.name == "GLOBAL":
                names.add(str(argument))
            if opcode.name in _CALLS:
                name = str(argument) if opcode.name == "INST" else opcode.name
                raise _refusal(where, [name], limits)
    except limits.error:
        raise
    except Exception as error:  # genops raises many kinds
        raise limits.error(f"{where} is damaged: {reason(error)}") from error
    forbidden = sorted(names - limits.allowed)
    if forbidden:
        raise _refusal(where, forbidden, limits)
    return names


def _refusal(where: str, names: list[str], limits: Limits) -> PseudowordError:
    kinds = [name for name in names if name not in _BESIDE_NUMBERS]
    if kinds and all(map(_UNREAD_NUMBERS.fullmatch, kinds)):
        shown = listed([visible(kind).replace(" ", ".") for kind in kinds])
        return limits.error(
            f"{where} cannot be read: its numbers are of the kind {shown}. Save it with numbers in "
            "float32 or float16, with the tool that made it."
        )
    dotted = [visible(name[:80]).replace(" ", ".") for name in names[:3]]
    shown = ", ".join(dotted) + (" …" if len(names) > 3 else "")
    if any("neti" in name.lower() or "mapper" in name.lower() for name in names):
        why = (
            "This is a NeTI mapper: part of it, the random Fourier matrix, exists only as a "
            "pickled Python object. Export it to safetensors with the code that made it."
        )
    else:
        article = "An" if limits.what[0] in "aeio" else "A"
        why = (
            f"{article} {limits.what} needs nothing like that, and this may be an attack. "
            "Get the file as .safetensors from a source you trust."
        )
    return limits.error(f"{where} is refused: reading it would run Python code ({shown}). {why}")
