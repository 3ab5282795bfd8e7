"""What the loaders of other tools do with a file and a prompt, written again from their sources.

Nothing of the project is used. Each function returns the rows that end up in the prompt, or raises.
"""

import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

ALLOWED_BY_A1111 = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.nn.modules.container ParameterDict",
    "__builtin__ set",
    *(f"torch {kind}Storage" for kind in "Float Half Int Long Double Byte BFloat16".split()),
}


def opened(path: Path, safe: bool = True) -> Any:
    """`torch.load`; not safe if the tool has checked the file in another way."""
    return torch.load(path, map_location="cpu", weights_only=safe)


# AUTOMATIC1111: modules/safe.py, textual_inversion.py, prompt_parser.py, sd_hijack_clip.py


def a1111_opens(path: Path) -> Any:
    """Its checks of the zip and the pickle, then torch's loader."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not re.match(r"^([^/]+)/((data/\d+)|version|(data\.pkl))$", name):
                raise ValueError(f"bad file inside: {name}")
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        for opcode, argument, _ in pickletools.genops(archive.read(pickled)):
            if opcode.name in ("GLOBAL", "STACK_GLOBAL") and argument not in ALLOWED_BY_A1111:
                raise ValueError(f"{argument} is forbidden")
    return opened(path, safe=False)


def a1111_loads(path: Path, in_picture: dict[str, Any] | None) -> tuple[str, Any, int]:
    """Name, rows, and the width, which decides whether a file is used or skipped.

    `in_picture` is what its reader of pictures finds.
    """
    name, ending = path.stem, path.suffix.upper()
    if path.stat().st_size == 0:
        raise ValueError("empty")
    if ending in (".PNG", ".WEBP", ".JXL", ".AVIF"):
        if Path(name).suffix.upper() == ".PREVIEW":
            raise ValueError("a preview")
        Image.open(path)
        if not in_picture:
            raise ValueError("a picture")
        data, name = in_picture, in_picture.get("name", name)
    elif ending in (".BIN", ".PT"):
        data = a1111_opens(path)
    elif ending == ".SAFETENSORS":
        data = load_file(path)
    else:
        raise ValueError("not looked at")
    return (name, *a1111_makes(data))


def a1111_makes(data: Any) -> tuple[Any, int]:
    """The embedding in what a file holds, and its width."""
    if "string_to_param" in data:
        found = data["string_to_param"]
        found = getattr(found, "_parameters", found)
        assert len(found) == 1
        (rows,) = found.values()
        return rows.detach().float(), rows.shape[-1]
    if type(data) is dict and "clip_g" in data and "clip_l" in data:
        both = {key: value.detach().float() for key, value in data.items()}
        return both, both["clip_g"].shape[-1] + both["clip_l"].shape[-1]
    if type(data) is dict and type(next(iter(data.values()))) is Tensor:
        assert len(data) == 1
        (rows,) = data.values()
        rows = rows.unsqueeze(0) if rows.ndim == 1 else rows
        return rows.detach().float(), rows.shape[-1]
    raise ValueError("neither")


def a1111_in_lora(path: Path, token: str) -> Any:
    """The rows of an embedding in a LoRA."""
    bundled: dict[str, dict[str, Any]] = {}
    data = load_file(path) if path.suffix == ".safetensors" else a1111_opens(path)
    for key, value in data.items():
        first, _, rest = key.partition(".")
        if first == "bundle_emb":
            name, inside = rest.split(".", 1)
            if inside.split(".")[0] == "string_to_param":
                bundled.setdefault(name, {})["string_to_param"] = {inside.split(".", 1)[1]: value}
            else:
                bundled.setdefault(name, {})[inside] = value
    return a1111_makes(bundled[token])[0]


def a1111_finds(tokenizer: Any, name: str, prompt: str) -> bool:
    """Whether an embedding's name is found among the tokens of a prompt."""
    prompt = re.sub(r"<(\w+):([^>]+)>", "", prompt)
    pieces = [p for part in re.split(r"\bAND\b", prompt) for p in re.split(r"\bBREAK\b", part)]
    wanted = tokenizer(name, add_special_tokens=False).input_ids
    for piece in pieces:
        text, at = [""], 0
        while at < len(piece):  # a bracket begins another weight, and another text
            letter = piece[at]
            if letter == "\\" and at + 1 < len(piece) and piece[at + 1] in "\\()[]":
                text[-1] += piece[at + 1]
                at += 1
            elif letter in "()[]":
                text.append("")
            else:
                text[-1] += letter
            at += 1
        for part in text:
            ids = tokenizer(part, add_special_tokens=False).input_ids
            if any(ids[i : i + len(wanted)] == wanted for i in range(len(ids))):
                return True
    return False


# ComfyUI: comfy/sd1_clip.py


COMFYUI_LOOKS = {
    **dict.fromkeys(("clip_l", "clip_h", "clip_g", "t5xxl", "llama", "mistral3_24b"), True),
    **dict.fromkeys(("qwen3_06b", "qwen3_4b", "qwen3_8b", "qwen3vl_4b", "qwen3vl_8b"), True),
    **dict.fromkeys(("gemma2_2b", "gemma3_4b", "gemma3_12b", "qwen25_3b", "qwen25_7b"), False),
    **dict.fromkeys(("umt5xxl", "pile_t5xl", "qwen3_2b"), False),
}
"""Key -> whether a tokenizer with it is given the folder of embeddings; without one, it looks for
no words. `qwen3_4b` is that of FLUX.2 klein; Z-Image's has the same key and no folder."""


def comfyui_loads(folder: Path, name: str, width: int, key: str) -> Tensor | None:
    """The rows that a text encoder's tokenizer gets for a name."""
    path = folder / name
    if not name or not path.is_file():
        several = [Path(f"{path}{ending}") for ending in (".safetensors", ".pt", ".bin")]
        path = next((one for one in several if one.is_file()), path)
    if not path.is_file():
        return None
    found: Any = None
    try:
        if str(path).lower().endswith(".safetensors"):
            data = load_file(path)
        else:
            try:
                data = opened(path)
            except Exception:
                found = _raw_block(path)
    except Exception:
        return None
    if found is not None:
        return found  # type: ignore[no-any-return]
    if "string_to_param" in data:
        found = next(iter(data["string_to_param"].values()))
    elif isinstance(data, list):
        fitting = [t for part in data for t in part.values() if t.shape[-1] == width]
        found = torch.cat([t.reshape(-1, width) for t in fitting])
    elif key in data:
        found = data[key]
    else:
        for ending in (".string_to_param.*", f".{key}"):
            parts = [data[k] for k in data if k.startswith("bundle_emb.") and k.endswith(ending)]
            if parts and found is None:
                found = torch.cat(parts)
        found = next(iter(data.values())) if found is None else found
    return found.unsqueeze(0) if found.ndim == 1 else found  # type: ignore[no-any-return]


def _raw_block(path: Path) -> Tensor | None:
    with zipfile.ZipFile(path) as archive:
        for name in [name for name in archive.namelist() if "data/" in name][::-1]:
            data = archive.read(name)
            count = len(data) // 4
            if count >= 768:
                width = 768 if count % 768 == 0 else 1024
                return torch.frombuffer(bytearray(data), dtype=torch.float).reshape(-1, width)
    return None


def comfyui_reads(folder: Path, prompt: str, width: int, key: str) -> list[Tensor]:
    """The rows that replace tokens of a prompt, for a text encoder of this width."""
    if not COMFYUI_LOOKS[key]:
        return []
    hidden = prompt.replace("\\)", "\0\1").replace("\\(", "\0\2")
    pieces = []
    for part in re.split(r"[()]", hidden):  # a bracket begins another weight
        text = part.replace("\0\1", ")").replace("\0\2", "(")
        first, *rest = re.split(r" embedding:|\nembedding:", text)
        pieces += [first, *(f"embedding:{one}" for one in rest)]
    rows = []
    for piece in pieces:
        if not piece.startswith("embedding:"):
            continue
        name = (piece.removeprefix("embedding:").strip("\n").split() or [""])[0]
        found = comfyui_loads(folder, name, width, key)
        if found is None:
            found = comfyui_loads(folder, name.strip(","), width, key)
        if found is not None and found.shape[-1] == width:  # others are dropped with a warning
            rows += list(found)
    return rows


# InvokeAI: model_manager/configs/textual_inversion.py, textual_inversion.py, model_patcher.py


def invokeai_adds(path: Path) -> tuple[int, str]:
    """The width from which it takes the base model, and the name that it gives the embedding."""
    if path.suffix not in (".safetensors", ".bin", ".pt", ".ckpt"):
        raise ValueError("an ending it does not know")
    data = load_file(path) if path.suffix == ".safetensors" else opened(path)
    assert isinstance(data, dict)
    small = len(data) < 10 and all(isinstance(value, Tensor) for value in data.values())
    if not small and not {"string_to_param", "emb_params", "clip_g"} & set(data):
        raise ValueError("no embedding")
    if "string_to_token" in data:
        width = next(iter(data["string_to_param"].values())).shape[-1]
    elif "emb_params" in data:
        width = data["emb_params"].shape[-1]
    elif "clip_g" in data:
        width = data["clip_g"].shape[-1]
    else:
        width = next(iter(data.values())).shape[0]
    if width not in (768, 1024, 1280):
        raise ValueError("unknown width")
    return width, path.stem


def invokeai_loads(path: Path) -> list[Tensor]:
    """The rows of an added embedding: one tensor, or one for each encoder of SDXL."""
    data = load_file(path) if path.suffix == ".safetensors" else opened(path)
    if "string_to_param" in data:
        return [next(iter(data["string_to_param"].values()))]
    if "emb_params" in data:
        return [data["emb_params"]]
    if "clip_g" in data and "clip_l" in data:
        return [data["clip_g"], data["clip_l"]]
    found = next(iter(data.values()))
    return [found.unsqueeze(0) if found.ndim == 1 else found]


def invokeai_finds(prompt: str) -> list[str]:
    """The triggers in a prompt."""
    return [found[1:-1] for found in re.findall(r"<[a-zA-Z0-9., _-]+>", prompt)]


# OneTrainer: mixin/EmbeddingLoaderMixin.py and modelSetup/Base…Setup.py


def onetrainer_loads(path: Path, wanted: tuple[str, ...]) -> list[Tensor]:
    """The rows under the keys of a model's text encoders; output embeddings come first."""
    try:
        data = opened(path)
    except Exception:
        data = load_file(path)
    found = [data.get(f"{key}_out", data.get(key)) for key in wanted]
    assert all(isinstance(rows, Tensor) and rows.ndim == 2 for rows in found)
    return found


class Table(nn.Module):
    """A text encoder with only the table of embeddings that diffusers' loader needs."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(count, width)
        nn.init.zeros_(self.table.weight)
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table

    def resize_token_embeddings(self, count: int) -> None:
        wider = nn.Embedding(count, self.table.weight.shape[1])
        nn.init.zeros_(wider.weight)
        kept = min(count, len(self.table.weight))
        wider.weight.data[:kept] = self.table.weight.data[:kept]
        self.table = wider
