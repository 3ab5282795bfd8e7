"""Damaged embedding files. Some have damage inside, with correct lengths and checksums, so that it
passes the first check."""

import base64
import io
import random
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

from embedding_files import rows, torch_bytes
from PIL import Image
from safetensors.torch import save
from torch import nn
from word_files import write_as

from pseudoword.concept import Concept
from pseudoword.formats import WRITERS, keys

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1)


SDXL = Concept("<cat>", {"clip_l": rows(2, 32), "clip_g": rows(2, 40)}, "sdxl")


def seeds(folder: Path) -> dict[str, bytes]:
    """A small valid file of every kind."""
    sd = Concept("<cat>", {"clip_l": rows(2, 32)}, "sd")
    xti = Concept("<x>", {f"clip_l.{key}": rows(1, 8) for key in keys.XTI_LAYERS})
    layered = replace(xti, vectors={"clip_l": rows(1, 8), **xti.vectors})
    picture = Image.new("RGB", (24, 24), "orange")
    found = {}
    for name, writer in WRITERS.items():
        for kind, concept in (("sd", sd), ("sdxl", SDXL), ("xti", xti), ("layered", layered)):
            if not writer.refuses(concept):
                (path, *_) = write_as(concept, folder / "seed", name, picture)
                found[f"{name}/{kind}"] = path.read_bytes()
    paper = nn.ParameterDict({"<cat>": nn.Parameter(rows(2, 32))})
    found["paper"] = torch_bytes({"string_to_token": {}, "string_to_param": paper})
    found["bundle"] = save({"bundle_emb.<cat>.clip_l": rows(2, 32), "a.lora_up": rows(2, 3)})
    found["pair"] = torch_bytes([{"emb": rows(2, 768), "emb2": rows(2, 1280)}] * 2)
    found["nested"] = torch_bytes({"<cat>": {"a": rows(1, 768), "b": rows(1, 1280)}, "<dog>": {}})
    found["marked"] = save(
        {"<s1>": rows(1, 768)[0], "unet:0:up": rows(8, 4)}, {"<s1>": "<embed>", "unet:0:rank": "4"}
    )
    found["metadata"] = _with(save({"<cat>": rows(2, 32)}), b'{"__metadata__":{"a":[1,null]},')
    found["several"] = save({"<cat>": rows(2, 32), "<dog>": rows(1, 32)})
    found["float16"] = torch_bytes({"<cat>": rows(2, 32).half()})
    found["legacy"] = b"\x80\x02}q\x00X\x05\x00\x00\x00<cat>q\x01K\x01s."
    return found


def second_half() -> bytes:
    """The second file of the seed `diffusers/sdxl`."""
    return WRITERS["diffusers"].write(SDXL, None)["_2"]


def _with(data: bytes, start: bytes) -> bytes:
    """A safetensors file whose header begins like this."""
    length = int.from_bytes(data[:8], "little")
    text = start + data[9 : 8 + length]
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def broken(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """`data` with damage anywhere."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(out)) if out else 0
        match chance.randrange(7):
            case 0:
                out[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del out[at:]
            case 2:
                out[at : at + chance.randrange(64)] = b""
            case 3:
                width = chance.choice((1, 2, 4, 8))
                value = chance.choice(EXTREMES) & (256**width - 1)
                out[at : at + width] = value.to_bytes(width, chance.choice(("little", "big")))
            case 4:
                out[at:at] = chance.randbytes(chance.randrange(1, 32))
            case 5:
                out[at:at] = out[at : at + 200] * chance.randrange(1, 20)
            case _:
                other = chance.choice(others)
                out[at:] = other[chance.randrange(len(other)) :]
    return bytes(out)


def broken_inside(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """`data` with damage inside, and correct lengths and checksums."""
    if data[:2] == b"PK":
        return _broken_zip(data, chance)
    if data[:4] == b"\x89PNG":
        return _broken_png(data, chance)
    length = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and length < len(data):
        text = _broken_text(data[8 : 8 + length], chance)
        return len(text).to_bytes(8, "little") + text + data[8 + length :]
    return broken(data, chance, others)


def _broken_text(text: bytes, chance: random.Random) -> bytes:
    """JSON or a pickle with a piece of it changed."""
    swaps = [
        (b"F32", chance.choice((b"F64", b"F16", b"BF16", b"I64", b"BOOL", b"F8_E4M3", b"U8"))),
        (b'"__metadata__":{', chance.choice((b'"__metadata__":null,"x":{', b'"__metadata__":[{'))),
        (b"<embed>", chance.choice((b"<embed", b"\\u001b[2J", b"<embed>" * 99))),
        (b"[2,32]", chance.choice((b"[64]", b"[2,32,1]", b"[0]", b"[]", b"[9999999999,9999999]"))),
        (b"FloatStorage", chance.choice((b"HalfStorage", b"DoubleStorage", b"QInt8Storage"))),
        (b"_rebuild_tensor_v2", chance.choice((b"_rebuild_parameter", b"_rebuild_sparse_tensor"))),
        (b"collections\nOrderedDict", chance.choice((b"os\nsystem", b"builtins\nbytearray"))),
        (b"0.", chance.choice((b"NaN, 0.", b"1e999, 0.", b"[0.", b"9" * 30 + b"."))),
        (b"K\x02", b"J\xff\xff\xff\x7f"),
        (b"K ", chance.choice((b"J\xff\xff\xff\x7f", b"K\x00", b"M\xff\xff"))),
    ]
    fitting = [swap for swap in swaps if swap[0] in text]
    if fitting and chance.random() < 0.5:
        old, new = chance.choice(fitting)
        return text.replace(old, new, chance.choice((1, 1, 2)))
    return broken(text, chance, [text])


def _broken_zip(data: bytes, chance: random.Random) -> bytes:
    buffer = io.BytesIO()
    packed = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", packed) as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename.endswith("data.pkl"):
                content = _broken_text(content, chance)
            elif chance.random() < 0.05:
                content = content[: chance.randrange(len(content) + 1)]
            name = info.filename if chance.random() > 0.02 else f"../{info.filename}"
            new.writestr(name, content)
    return buffer.getvalue()


def _broken_png(data: bytes, chance: random.Random) -> bytes:
    out, at = bytearray(data[:8]), 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if kind == b"tEXt":
            keyword, _, text = body.partition(b"\0")
            text = base64.b64encode(_broken_text(base64.b64decode(text), chance))
            if chance.random() < 0.3:
                kind, text = b"zTXt", b"\0" + zlib.compress(text)
            body = keyword + b"\0" + text
        elif kind == b"IHDR" and chance.random() < 0.2:
            body = broken(body, chance, [body])[:13].ljust(13, b"\1")
        elif kind == b"IDAT" and chance.random() < 0.5:
            body = zlib.compress(broken(zlib.decompress(body), chance, [data]))
        crc = zlib.crc32(kind + body)
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
        at += 12 + length
    return bytes(out)
