"""Malicious and damaged files."""

import base64
import io
import json
import os
import pickle
import resource
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from embedding_files import L, rows, torch_bytes
from PIL import Image
from safetensors.torch import save
from torch import nn
from word_files import write_as

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats import pictures, torch_file, torch_zip

ENDINGS = (".pt", ".PT", ".bin", ".safetensors", ".png", ".webp", "")
GROWTH_MB = 128
"""What reading any hostile file may allocate beside the file itself."""


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("kind", ["zip", "bare", "inside"])
def test_no_pickle_is_run_whatever_its_file_is_called(
    kind: str, protocol: int, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    if kind == "bare":
        data = pickle.dumps(Attack(trace), protocol)
    else:
        content = Attack(trace) if kind == "zip" else {"<cat>": L, "x": Attack(trace)}
        buffer = io.BytesIO()
        torch.save(content, buffer, pickle_protocol=protocol)
        data = buffer.getvalue()
    for ending in ENDINGS:
        (tmp_path / f"a{ending}").write_bytes(data)
        with pytest.raises(ConceptError) as refusal:
            formats.read(tmp_path / f"a{ending}")
        if protocol:  # an ASCII pickle is like any text
            assert "would run Python code" in str(refusal.value)
        if protocol == 2:
            assert "system" in str(refusal.value)
    assert not trace.exists()
    torch.load(io.BytesIO(data), weights_only=False) if kind == "zip" else None
    assert trace.exists() or kind != "zip"  # so it would have run


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "complex64", "uint16"])
def test_numbers_that_are_not_read_are_no_attack(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(torch_bytes({"<cat>": L.to(getattr(torch, kind))}))
    with pytest.raises(
        ConceptError, match=r"its numbers are of the kind torch\.\w+\. Save"
    ) as told:
        formats.read(tmp_path / "a.pt")
    assert kind.partition("_")[0].rstrip("64") in str(told.value).lower()
    trace = tmp_path / "ran"
    both = {"<cat>": L.to(getattr(torch, kind)), "x": Attack(trace)}
    (tmp_path / "b.pt").write_bytes(torch_bytes(both))
    with pytest.raises(ConceptError, match="would run Python code"):
        formats.read(tmp_path / "b.pt")
    assert not trace.exists()


class Mapper(nn.Module):
    """Stands for NeTI's pickled encoder."""


def test_a_neti_mapper_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(torch_bytes({"state_dict": {}, "encoder": Mapper()}))
    with pytest.raises(ConceptError, match="random Fourier matrix"):
        formats.read(tmp_path / "a.pt")


def test_the_safe_globals_are_exactly_those_needed() -> None:
    assert len(torch_zip.ALLOWED_GLOBALS) == 16
    assert not any(
        word in name
        for name in torch_zip.ALLOWED_GLOBALS
        for word in ("bytearray", "getattr", "os")
        if not name.startswith("torch ")
    )
    before = set(torch.serialization.get_safe_globals())
    torch_file.read(torch_bytes({"<cat>": L}), "a.pt")
    assert set(torch.serialization.get_safe_globals()) == before  # nothing stays allowed


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (1, 1)) -> bytes:
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        out += struct.pack(">I", len(body)) + kind + body + checksum
    return out


def _chunk(content: bytes) -> bytes:
    return _png((b"tEXt", b"sd-ti-embedding\0" + base64.b64encode(content)))


def _claims(size: list[int]) -> bytes:
    """A torch file whose pickle claims a tensor of `size` over a storage of 4 bytes."""
    whole = torch_bytes({"<cat>": torch.zeros(1)})
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickled = members["archive/data.pkl"]
    numel = b"J" + struct.pack("<i", min(size[0], 2**31 - 1))
    members["archive/data.pkl"] = pickled.replace(b"K\x01", numel)
    assert members["archive/data.pkl"] != pickled
    return _zip(members)


def _header(header: dict[str, object], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ZEROS = bytes(200_000_000)
NAN, EMPTY = torch.full((2, 8), float("nan")), torch.zeros(0, 8)
HOSTILE: dict[str, tuple[Any, str]] = {
    "zip bomb": (
        lambda: _zip({"a/data.pkl": b".", "a/data/0": ZEROS}, zipfile.ZIP_DEFLATED),
        "zip bomb",
    ),
    "not torch's zip": (lambda: _zip({"a.txt": b"hello"}), "no data.pkl|not one that torch"),
    "path in a zip": (lambda: _zip({"../../data.pkl": b"."}), "holds the path"),
    "absolute path in a zip": (lambda: _zip({"/etc/data.pkl": b"."}), "holds the path"),
    "pickle too large": (lambda: _zip({"a/data.pkl": ZEROS[: 1 << 21]}), "pickle too large"),
    "storage too large": (lambda: _claims([2**31 - 1]), "damaged"),
    "bytearray bomb": (
        lambda: _zip({"a/data.pkl": b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R."}),
        "bytearray",
    ),
    "zlib bomb in a chunk": (
        lambda: _png((b"zTXt", b"sd-ti-embedding\0\0" + zlib.compress(ZEROS, 9))),
        "too large",
    ),
    "zlib bomb in iTXt": (
        lambda: _png((b"iTXt", b"sd-ti-embedding\0\1\0\0\0" + zlib.compress(ZEROS, 9))),
        "too large",
    ),
    "huge picture": (lambda: _png(size=(60000, 60000)), "bomb"),
    "large picture": (lambda: _png(size=(8000, 8000)), "too many"),
    "many views of one storage": (
        lambda: torch_bytes(dict.fromkeys(map(str, range(99)), torch.zeros(1 << 20).view(256, -1))),
        "too large",
    ),
    "many lists of one list": (
        lambda: torch_bytes({"a": [[[0] * 999] * 999] * 999}),
        "too large",
    ),
    "more of one dict than are looked at": (
        lambda: torch_bytes([{"a": torch.zeros(1 << 20).view(1024, -1)}] * ((1 << 16) + 1)),
        "too large",
    ),
    "picture of nothing": (lambda: _png(size=(0, 0)), "damaged"),
    "deep JSON": (lambda: _chunk(b"[" * 100_000), "damaged"),
    "JSON of no embedding": (lambda: _chunk(b"[1, 2]"), "no embedding"),
    "ragged rows": (
        lambda: _chunk(b'{"string_to_param": {"*": {"TORCHTENSOR": [[1.0, 2], [1]]}}}'),
        "damaged",
    ),
    "NaN in JSON": (
        lambda: _chunk(b'{"string_to_param": {"*": {"TORCHTENSOR": [[NaN, 2.0]]}}}'),
        "not finite",
    ),
    "text for numbers": (
        lambda: _chunk(b'{"string_to_param": {"*": {"TORCHTENSOR": [["1"]]}}}'),
        "damaged",
    ),
    "no base64": (lambda: _png((b"tEXt", b"sd-ti-embedding\0!!!")), "damaged"),
    "header too long": (lambda: (2**62).to_bytes(8, "little") + b"{", "no embedding"),
    "shape too large": (
        lambda: _header({"a": {"dtype": "F32", "shape": [2**40, 8], "data_offsets": [0, 4]}}),
        "not a safetensors|damaged|not downloaded to its end",
    ),
    "NaN": (lambda: save({"<cat>": NAN}), "not finite"),
    "NaN in torch": (lambda: torch_bytes({"<cat>": NAN}), "not finite"),
    "infinity": (lambda: save({"emb_params": NAN.nan_to_num(float("inf"))}), "not finite"),
    "empty tensor": (lambda: save({"<cat>": EMPTY}), "no embedding"),
    "empty tensor in torch": (lambda: torch_bytes({"<cat>": EMPTY}), "no embedding"),
    "no tensors": (lambda: torch_bytes({}), "no embedding"),
    "only safetensors metadata": (lambda: save({}, {"a": "b"}), "no embedding"),
    "whole numbers": (lambda: save({"<cat>": torch.ones(2, 8, dtype=torch.int64)}), "not rows"),
    "four dimensions": (lambda: save({"conv.weight": torch.ones(1, 2, 3, 3)}), "model's weights"),
    "three dimensions": (
        lambda: save({"<cat>": torch.ones(1, 77, 768)}),
        r"<cat> is \[1, 77, 768\].*encoded prompt",
    ),
    "expanded view": (
        lambda: torch_bytes({"<cat>": torch.zeros(1).expand(1 << 16, 1 << 16)}),
        "too large",
    ),
    "sparse": (lambda: torch_bytes({"<cat>": torch.eye(4).to_sparse()}), "refused"),
    "float64 that float32 cannot hold": (
        lambda: save({"<cat>": torch.full((1, 8), 0.1, dtype=torch.float64)}),
        "cannot hold its values exactly",
    ),
    "a LoRA": (
        lambda: save({f"lora_unet_{i}.lora_down.weight": rows(4, 8, i) for i in range(9)}),
        "LoRA",
    ),
    "a LoRA with ModelSpec": (
        lambda: save(
            {f"lora_unet_{i}.lora_down.weight": rows(4, 8, i) for i in range(9)},
            {"modelspec.architecture": "stable-diffusion-v1/lora"},
        ),
        "is a LoRA without embeddings in it.*--lora",
    ),
    "an optimiser's state": (
        lambda: torch_bytes({"hash": "ab", "optimizer_state_dict": {"state": {}}}),
        "optimiser's state",
    ),
    "empty file": (lambda: b"", "empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_hopeless_files_are_refused_clearly(name: str, tmp_path: Path) -> None:
    make, message = HOSTILE[name]
    data = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for ending in ENDINGS[:5]:
        path = tmp_path / f"a{ending}"
        path.write_bytes(data)
        with pytest.raises(ConceptError, match=message) as refusal:
            formats.read(path)
        assert str(path) in str(refusal.value)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < GROWTH_MB + 2 * len(data) / 1e6


@pytest.mark.parametrize("path", ["/dev/zero", "/nowhere/a.pt", "a\0b"])
def test_paths_that_are_no_files_are_refused(path: str) -> None:
    if path == "/dev/zero" and not Path(path).exists():
        pytest.skip("no such device here")
    with pytest.raises(ConceptError):
        formats.read(Path(path))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", " x", "a\nb", "\x1b[31m", 5])
def test_a_name_in_a_file_reaches_no_other_folder_and_no_terminal(
    name: object, tmp_path: Path
) -> None:
    made = {"string_to_param": {"*": L}, "name": name}
    (tmp_path / "kitten.pt").write_bytes(torch_bytes(made))
    concept = formats.read(tmp_path / "kitten.pt")
    assert concept.token.isprintable()
    if name not in ("../../etc/passwd", "a/b"):
        assert concept.token == "kitten"
    write_as(concept, tmp_path / "out" / "x.pt", "a1111")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kitten.pt", "out"]


def test_a_picture_with_a_wrong_checksum_is_refused() -> None:
    concept = Concept("<cat>", {"clip_l": rows(1, 8)})
    data = bytearray(formats.WRITERS["a1111-png"].write(concept, Image.new("RGB", (8, 8)))[""])
    data[data.index(b"sd-ti-embedding") + 40] ^= 1
    with pytest.raises(ConceptError, match="checksum"):
        pictures.read(bytes(data), "a.png")
