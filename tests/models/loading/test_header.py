"""Damaged files given as a base or a LoRA: an error at once, in little memory; nothing is run."""

import io
import json
import os
import pickle
import resource
import struct
import sys
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from pseudoword.config import BaseChoice
from pseudoword.errors import PseudowordError
from pseudoword.models import base_model, detection, lora
from pseudoword.models.family import Family

WEIGHTS = {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(8, 4, 3, 3)}


def torch_bytes(found: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(found, buffer)
    return buffer.getvalue()


def zipped(members: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {i.filename.partition("/")[2]: archive.read(i) for i in archive.infolist()}


def changed(**parts_of_zip: bytes) -> bytes:
    """A good checkpoint with parts of its zip replaced; `data_pkl` is `data.pkl`."""
    new = {name.replace("_", "."): content for name, content in parts_of_zip.items()}
    return zipped(parts(torch_bytes({"state_dict": WEIGHTS})) | new)


def itself() -> bytes:
    found: dict[str, Any] = {}
    found["state_dict"] = found
    return torch_bytes(found)


def nested(depth: int) -> bytes:
    """A pickle of a list in a list, and so on."""
    return changed(data_pkl=b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")


def dictionaries(depth: int) -> bytes:
    """A pickle of `{"state_dict": {"state_dict": … {}}}`."""
    key = b"X\x0a\x00\x00\x00state_dict"
    return changed(data_pkl=b"\x80\x02" + (b"}" + key) * depth + b"}" + b"s" * depth + b".")


def claiming(old: bytes, new: bytes) -> bytes:
    good = parts(torch_bytes({"state_dict": WEIGHTS}))["data.pkl"]
    assert old in good
    return changed(data_pkl=good.replace(old, new))


def safetensors(header: object, numbers: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


class Runs:
    """Pickled, it is a call that leaves a trace."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return (sys.setrecursionlimit, (4321,))


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "big endian": (lambda: changed(byteorder=b"big"), "another byte order"),
    "no byte order": (lambda: changed(byteorder=b"\xff" * 99), "another byte order"),
    "holds itself": (itself, "state_dict in state_dict, without an end"),
    "state_dict in state_dict": (lambda: dictionaries(9999), "without an end"),
    "deep": (lambda: nested(30_000), "holds a list, not the weights of a model"),
    "bomb": (
        lambda: zipped({"data.pkl": b"\0" * (1 << 26), "version": b"3\n"}, zipfile.ZIP_DEFLATED),
        "is a compressed zip; torch never compresses",
    ),
    "large pickle": (lambda: changed(data_pkl=b"N" * (5 << 20)), "pickle too large"),
    "many opcodes": (lambda: changed(data_pkl=b"\x80\x02" + b"N0" * (1 << 20)), "pickle too large"),
    "runs code": (lambda: torch_bytes({"state_dict": Runs()}), "would run Python code"),
    "runs code, bare": (lambda: pickle.dumps(Runs()), "would run Python code"),
    "bare pickle": (lambda: pickle.dumps({"a": 1}, 2), "is a bare pickle"),
    "many entries": (
        lambda: zipped({f"data/{i}": b"" for i in range(16_500)}),
        "a damaged zip|not one that torch wrote",
    ),
    "no pickle": (lambda: zipped({"data/0": b"1234"}), "it has no data.pkl"),
    "cut short": (lambda: torch_bytes(WEIGHTS)[:-40], "damaged zip, or was not downloaded"),
    "another zip": (lambda: zipped({"a/b.txt": b"x", "data.pkl": b"."}), "is damaged"),
    "no tensors": (lambda: torch_bytes([1, 2]), "holds a list, not the weights"),
    "more than stored": (lambda: claiming(b"M \x01", b"J\xff\xff\xff\x7f"), "is damaged"),
    "safetensors cut short": (lambda: save(WEIGHTS)[:-9], "not downloaded to its end"),
    "header cut short": (lambda: save(WEIGHTS)[:40], "is cut short"),
    "header without end": (
        lambda: struct.pack("<Q", 1 << 39) + b"{" * 64,
        "its header alone has 549755813888 bytes",
    ),
    "deep header": (lambda: struct.pack("<Q", 99999) + b'{"a":' * 19999 + b"1" * 9, "damaged"),
    "huge shape": (
        lambda: safetensors({"a": ONE | {"shape": [2**40, 2**40]}}, b"1234"),
        "is a damaged safetensors file",
    ),
    "many tensors": (
        lambda: safetensors(
            {f"{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
        ),
        "has 20000 tensors, too many",
    ),
    "overlapping": (lambda: safetensors({"a": ONE, "b": ONE}, b"1234"), "damaged safetensors"),
    "unknown numbers": (lambda: safetensors({"a": ONE | {"dtype": "F3"}}, b"1234"), "damaged"),
    "nothing in it": (lambda: safetensors({}), "it holds nothing …"),
    "flat vae": (
        lambda: safetensors({"decoder.conv_in.weight": ONE | {"shape": []}}, b"1234"),
        "is a VAE, one part of a base model",
    ),
    "strange vae": (
        lambda: safetensors({"decoder.conv_in.weight_v.weight": ONE}, b"1234"),
        "is a VAE, one part of a base model",
    ),
    "a list": (lambda: struct.pack("<Q", 2) + b"[]", "is no "),
    "empty": (lambda: b"", "is an empty file"),
    "zeros": (lambda: bytes(4096), "nothing but zero bytes"),
    "pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4265380512\n",
        "is a Git LFS pointer",
    ),
    "page": (lambda: b"<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
    "gguf": (lambda: b"GGUF\3\0\0\0", "is a GGUF model"),
    "gzip": (lambda: b"\x1f\x8b\x08\0\0\0\0\0\0\3", "is packed with gzip"),
    "text": (lambda: b"hello there", "is plain text"),
    "noise": (lambda: b"\xfe\xdc" * 99, "is no "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_hopeless_file_is_refused_at_once(
    name: str, family: Family, tmp_path: Path
) -> None:
    make, message = HOSTILE[name]
    data = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ending = "ckpt" if data[:2] == b"PK" or data[:1] == b"\x80" else "safetensors"
    path = tmp_path / f"x.{ending}"
    path.write_bytes(data)
    start = time.process_time()
    with pytest.raises(PseudowordError, match=message) as refusal:
        base_model.load(BaseChoice(base=str(path), device="cpu"))
    assert "weights_only" not in str(refusal.value)
    with pytest.raises(PseudowordError, match=message), family.with_loras([(path, 1.0)]):
        pass
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    assert sys.getrecursionlimit() != 4321


def test_pipes_devices_and_folders_are_refused_without_reading(
    tmp_path: Path, family: Family
) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "endless.safetensors").symlink_to("/dev/zero")
    (tmp_path / "loop.ckpt").symlink_to(tmp_path / "loop.ckpt")
    (tmp_path / "folder.ckpt").mkdir()
    for path in (*tmp_path.iterdir(), Path("/dev/zero"), tmp_path / ("a" * 300), Path("a\0b")):
        with pytest.raises(PseudowordError):
            base_model.load(BaseChoice.check(base=str(path), device="cpu"))
        with pytest.raises(PseudowordError):
            lora.parse(f"{path}:0.5")
        with pytest.raises(PseudowordError), family.with_loras([(path, 1.0)]):
            pass


@pytest.mark.parametrize("strength", ["nan", "inf", "-inf", "1e999", "", "x"])
def test_the_weight_of_a_lora_must_be_a_number(tmp_path: Path, strength: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(
        save({f"a.lora_{way}.weight": torch.ones(1, 1) for way in ("up", "down")})
    )
    assert lora.parse(f"{tmp_path / 'a.safetensors'}:.5") == (tmp_path / "a.safetensors", 0.5)
    with pytest.raises(PseudowordError, match=r"is no number|a weight of"):
        lora.parse(f"{tmp_path / 'a.safetensors'}:{strength}")


def test_a_file_with_the_wrong_ending_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(save(WEIGHTS))
    (tmp_path / "b.safetensors").write_bytes(torch_bytes(WEIGHTS))
    with pytest.raises(PseudowordError, match=r"is a safetensors file .* Rename it to a.safetens"):
        detection.detect(BaseChoice(base=str(tmp_path / "a.ckpt")))
    with pytest.raises(PseudowordError, match=r"is a torch file .* Rename it to b.ckpt"):
        detection.detect(BaseChoice(base=str(tmp_path / "b.safetensors")))


def test_a_checkpoint_of_gigabytes_is_examined_without_reading_its_weights(tmp_path: Path) -> None:
    """Sparse files: holes stand for weights."""
    large = 3 << 30
    entry = {"dtype": "U8", "shape": [large], "data_offsets": [0, large]}
    data = safetensors({"model.diffusion_model.joint_blocks.0.x.weight": entry})
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    os.truncate(path, len(data) + large)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(PseudowordError, match="is the transformer of SD 3"):
        detection.detect(BaseChoice(base=str(path)))
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


@pytest.mark.parametrize("shape", [(8,), (), (8, 0, 3, 3), (8, 2**20, 1, 1)])
def test_an_unknown_first_layer_is_an_error(tmp_path: Path, shape: tuple[int, ...]) -> None:
    first = "model.diffusion_model.input_blocks.0.0.weight"
    for more in ({}, {first: torch.zeros(shape, dtype=torch.uint8)}):
        (tmp_path / "x.safetensors").write_bytes(
            save(
                {"model.diffusion_model.x": torch.ones(1), "cond_stage_model.x": torch.ones(1)}
                | more
            )
        )
        with pytest.raises(PseudowordError, match="has no first layer that takes"):
            detection.detect(BaseChoice(base=str(tmp_path / "x.safetensors")))


def test_other_values_beside_the_weights_are_allowed(tmp_path: Path) -> None:
    notes = {"epoch": 3, "size": torch.Size([1, 2]), "dtype": torch.float16, "o": OrderedDict()}
    (tmp_path / "x.ckpt").write_bytes(
        torch_bytes({"state_dict": {"joint_blocks.0.x.weight": torch.ones(9, 9)}} | notes)
    )
    with pytest.raises(PseudowordError, match="is the transformer of SD 3"):
        detection.detect(BaseChoice(base=str(tmp_path / "x.ckpt")))
