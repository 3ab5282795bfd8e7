"""Read the header of a checkpoint or a LoRA: names and shapes, without the weights.

This is quick, takes little memory and executes nothing, whatever the file is. Libraries only load
files that have passed here.
"""

import io
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor

from pseudoword.errors import BaseModelError
from pseudoword.files import open_regular, read_errors
from pseudoword.formats import torch_zip
from pseudoword.formats.file_kinds import HEAD_NBYTES, describe_bytes
from pseudoword.formats.safetensors_file import LARGEST_HEADER_NBYTES
from pseudoword.formats.torch_zip import ALLOWED_GLOBALS, Limits, with_parameter_dicts
from pseudoword.process_wide import without_warnings
from pseudoword.text import reason

MOST_TENSORS = 1 << 14
"""In one file; the largest supported models have a few thousand."""

LARGEST_PICKLE_NBYTES = 4 << 20
"""Enough for the names and shapes of that many tensors."""

_DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
CHECKPOINT_GLOBALS = ALLOWED_GLOBALS | {
    "torch Size",
    "torch device",
    *(f"torch {dtype}" for dtype in _DTYPES),
}
"""The names that the pickle of a checkpoint may contain: also sizes, devices and dtypes."""

MOST_LEVELS = 3
"""A checkpoint may have its weights in a `state_dict` inside a `state_dict`."""


@dataclass(frozen=True)
class Header:
    """What is known of a checkpoint without reading its weights."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def numel(self) -> int:
        """How many numbers all tensors have together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def has(self, part: str) -> bool:
        """Whether any key contains `part`."""
        return any(part in key for key in self.shapes)

    @property
    def text_width(self) -> int | None:
        """Width of the text that the cross-attention reads; None if there is none."""
        for key, shape in self.shapes.items():
            reads_text = "attn2.to_k" in key or "attn2_to_k" in key
            if reads_text and len(shape) > 1 and not any(up in key for up in ("lora_up", "lora_B")):
                return shape[1]
        return None


def read_header(path: Path, what: str = "base model") -> Header:
    """Read the header of a `.safetensors` file or of a torch zip.

    Args:
        path: the file.
        what: what the file should be, for the error message.

    Raises:
        BaseModelError: it is something else, damaged, or a pickle that would run code; the message
            says what it is.
    """
    with open_regular(path, BaseModelError) as file, read_errors(path, BaseModelError):
        return _read_header(file, path, what)


def _read_header(file: BinaryIO, path: Path, what: str) -> Header:
    head, nbytes = file.read(HEAD_NBYTES), os.fstat(file.fileno()).st_size
    if head[:4] == b"PK\x03\x04":
        kind, read = "torch file", _torch_header
    elif head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        kind, read = "safetensors file", _safetensors_header
    else:
        raise _not_a_checkpoint(head, path, what)
    if (path.suffix == ".safetensors") != (kind == "safetensors file"):
        raise BaseModelError(
            f"{path} is a {kind} with another ending, and libraries go by the ending. "
            f"Rename it to {path.stem}{'.safetensors' if kind[0] == 's' else '.ckpt'}."
        )
    return read(file, path, nbytes, _limits(what))


def _limits(what: str) -> Limits:
    return Limits(
        what,
        most_members=MOST_TENSORS,
        most_pickle_nbytes=LARGEST_PICKLE_NBYTES,
        allowed=CHECKPOINT_GLOBALS,
        error=BaseModelError,
    )


def _not_a_checkpoint(head: bytes, path: Path, what: str) -> BaseModelError:
    kind = describe_bytes(head, what) if head else "an empty file"
    if kind is not None:
        return BaseModelError(f"{path} is {kind}.")
    if head[:1] == b"\x80":
        torch_zip.scan_pickle(io.BytesIO(head), str(path), _limits(what))
        return BaseModelError(
            f"{path} is a bare pickle, not a zip as torch writes it since 1.6. Load it where you "
            "trust it and save it again with a newer torch, best as .safetensors."
        )
    return BaseModelError(f"{path} is no {what}: it is neither a safetensors file nor one of torch")


def _safetensors_header(file: BinaryIO, path: Path, nbytes: int, limits: Limits) -> Header:
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length + 8 > nbytes:
        raise BaseModelError(
            f"{path} is cut short: its header alone has {length} bytes, and all of it {nbytes}. "
            "Download it again."
        )
    if length > LARGEST_HEADER_NBYTES:
        raise BaseModelError(f"{path} has a header of {length} bytes, too many for a {limits.what}")
    try:
        with safe_open(path, framework="pt") as opened:
            names = list(opened.keys())
            if len(names) > limits.most_members:
                raise BaseModelError(
                    f"{path} has {len(names)} tensors, too many for a {limits.what}"
                )
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in names}
            return Header(shapes, opened.metadata() or {})
    except BaseModelError:
        raise
    except Exception as error:  # the library's own, for each kind of damage
        raise BaseModelError(
            f"{path} is a damaged safetensors file, or was not downloaded to its end "
            f"({reason(error)}). Download it again."
        ) from error


def _torch_header(file: BinaryIO, path: Path, nbytes: int, limits: Limits) -> Header:
    where = str(path)
    with torch_zip.open_archive(file, nbytes, where, limits) as archive:
        if archive.members["data.pkl"].file_size > limits.most_pickle_nbytes:
            raise BaseModelError(f"{path} has a pickle too large for a {limits.what}")
        pickled = archive.read("data.pkl")
        order = archive.read("byteorder") if "byteorder" in archive.members else b"little"
    torch_zip.scan_pickle(pickled, where, limits)
    if order != b"little":  # torch would swap the bytes inside the mapped file
        raise BaseModelError(
            f"{path} was written on a machine with another byte order ({order[:20]!r}), which "
            "cannot be loaded. Save it as .safetensors on that machine."
        )
    file.seek(0)
    try:
        with with_parameter_dicts, without_warnings:
            loaded = torch.load(file, map_location="meta", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way an opcode can
        raise BaseModelError(f"{path} is damaged: {reason(error)}.") from error
    tensors = dict(_tensors(loaded, where))
    for name, tensor in tensors.items():
        stored = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > stored or stored > nbytes:
            raise BaseModelError(f"{path} is damaged: {name[:80]} claims more numbers than it has.")
    return Header({name: tuple(tensor.shape) for name, tensor in tensors.items()})


def _tensors(loaded: object, where: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a dict or of the dicts in it, inside any `state_dict`."""
    levels = 0
    while isinstance(loaded, Mapping) and "state_dict" in loaded:
        loaded, levels = loaded["state_dict"], levels + 1
        if levels > MOST_LEVELS:
            raise BaseModelError(f"{where} is damaged: state_dict in state_dict, without an end")
    if not isinstance(loaded, Mapping):
        raise BaseModelError(f"{where} holds a {type(loaded).__name__}, not the weights of a model")
    tensors = {str(name): item for name, item in loaded.items() if isinstance(item, Tensor)}
    if tensors:
        yield from tensors.items()
        return
    for outer, inside in loaded.items():
        for inner, item in inside.items() if isinstance(inside, dict) else ():
            if isinstance(item, Tensor):
                yield f"{outer}.{inner}", item
