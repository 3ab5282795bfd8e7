"""Embedding files as each tool writes them, made here from the tools' own descriptions."""

import io
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn


def rows(n: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def torch_bytes(found: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(found, buffer)
    return buffer.getvalue()


L, G, T5 = rows(3, 768, 1), rows(3, 1280, 2), rows(3, 4096, 3)
H = rows(3, 1024, 4)
LAYERS = "IN01 IN02 IN04 IN05 IN07 IN08 MID OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11"


def _a1111(**more: object) -> dict[str, object]:
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": L},
        "name": "cat",
        "step": 7,
        "sd_checkpoint": None,
        "sd_checkpoint_name": "model",
        **more,
    }


def _ai_toolkit(name: str) -> dict[str, str]:
    """The metadata of ai-toolkit; `name` is JSON."""
    return {
        **{"string_to_token": '{"*": 265}', "string_to_param": '{"*": "emb_params"}'},
        **{"name": name, "step": "100", "sd_checkpoint": "null", "format": "pt"},
    }


def _paper(words: dict[str, Tensor]) -> bytes:
    parameters = nn.ParameterDict({key: nn.Parameter(value) for key, value in words.items()})
    tokens = {key: torch.tensor(265) for key in words}
    return torch_bytes({"string_to_token": tokens, "string_to_param": parameters})


def _with_metadata(data: bytes, metadata: str) -> bytes:
    """A safetensors file with this JSON as its metadata."""
    length = int.from_bytes(data[:8], "little")
    text = b'{"__metadata__":' + metadata.encode() + b"," + data[9 : 8 + length]
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _view_of_a_table() -> bytes:
    table = rows(500, 768, 9)
    return torch_bytes({"<cat>": table[41]})


Word = tuple[str, dict[str, Tensor]]
"""Token and vectors a reader must find."""

THEIRS: dict[str, tuple[Callable[[], bytes], str, list[Word]]] = {
    "diffusers safetensors": (
        lambda: save({"<cat>": L}, {"format": "pt"}),
        "diffusers",
        [("<cat>", {"clip_l": L})],
    ),
    "diffusers float16": (
        lambda: save({"<cat>": L.half()}),
        "diffusers",
        [("<cat>", {"clip_l": L.half().float()})],
    ),
    "diffusers bfloat16 bin": (
        lambda: torch_bytes({"<cat>": L.bfloat16()}),
        "diffusers",
        [("<cat>", {"clip_l": L.bfloat16().float()})],
    ),
    "diffusers 1-D": (
        lambda: torch_bytes({"<cat>": L[0]}),
        "diffusers",
        [("<cat>", {"clip_l": L[:1]})],
    ),
    "diffusers view of a table": (
        _view_of_a_table,
        "diffusers",
        [("<cat>", {"clip_l": rows(500, 768, 9)[41:42]})],
    ),
    "diffusers parameter": (
        lambda: torch_bytes({"<cat>": nn.Parameter(L)}),
        "diffusers",
        [("<cat>", {"clip_l": L})],
    ),
    "diffusers SD2": (lambda: save({"<cat>": H}), "diffusers", [("<cat>", {"clip_h": H})]),
    "diffusers several": (
        lambda: save({"<cat>": L, "<dog>": L[:1].clone()}),
        "diffusers",
        [("<cat>", {"clip_l": L}), ("<dog>", {"clip_l": L[:1]})],
    ),
    "bare tensor": (lambda: torch_bytes(L), "diffusers", [("file", {"clip_l": L})]),
    "list of dicts": (
        lambda: torch_bytes([{"a": L[:1]}, {"a": L[1:]}]),
        "diffusers",
        [("file", {"clip_l": L})],
    ),
    "a1111": (lambda: torch_bytes(_a1111()), "a1111", [("cat", {"clip_l": L})]),
    "a1111 without a name": (
        lambda: torch_bytes(_a1111(name=None)),
        "a1111",
        [("file", {"clip_l": L})],
    ),
    "a1111 under _parameters": (
        lambda: torch_bytes(_a1111(string_to_param={"_parameters": {"*": L}})),
        "a1111",
        [("cat", {"clip_l": L})],
    ),
    "paper": (lambda: _paper({"*": L}), "paper", [("*", {"clip_l": L})]),
    "paper, several": (
        lambda: _paper({"<cat>": L, "<dog>": H}),
        "paper",
        [("<cat>", {"clip_l": L}), ("<dog>", {"clip_h": H})],
    ),
    "kohya": (lambda: save({"emb_params": L}), "kohya", [("file", {"clip_l": L})]),
    "kohya pt": (lambda: torch_bytes({"emb_params": H}), "kohya", [("file", {"clip_h": H})]),
    "kohya ModelSpec": (
        lambda: save(
            {"clip_l": L, "clip_g": G},
            {
                "modelspec.architecture": "stable-diffusion-xl-v1-base/textual-inversion",
                "modelspec.trigger_phrase": "cat",
            },
        ),
        "kohya",
        [("cat", {"clip_l": L, "clip_g": G})],
    ),
    "ai-toolkit": (
        lambda: save({"emb_params": L}, _ai_toolkit('"my cat"')),
        "kohya",
        [("my cat", {"clip_l": L})],
    ),
    "ai-toolkit SDXL": (
        lambda: save({"clip_l": L, "clip_g": G}, _ai_toolkit('"<cat>"')),
        "sdxl",
        [("<cat>", {"clip_l": L, "clip_g": G})],
    ),
    "ai-toolkit without a name": (
        lambda: save({"emb_params": L}, _ai_toolkit("null")),
        "kohya",
        [("file", {"clip_l": L})],
    ),
    "ai-toolkit, another's name": (
        lambda: save({"emb_params": L}, _ai_toolkit("my cat")),
        "kohya",
        [("file", {"clip_l": L})],
    ),
    "kohya XTI": (
        lambda: save({key: L + i for i, key in enumerate(LAYERS.split())}),
        "xti",
        [("file", {f"clip_l.{key}": L + i for i, key in enumerate(LAYERS.split())})],
    ),
    "SDXL": (
        lambda: save({"clip_l": L, "clip_g": G}),
        "sdxl",
        [("file", {"clip_l": L, "clip_g": G})],
    ),
    "SDXL pt": (
        lambda: torch_bytes({"clip_g": G, "clip_l": L}),
        "sdxl",
        [("file", {"clip_l": L, "clip_g": G})],
    ),
    "OneTrainer SD": (
        lambda: save({"emp_params": L}),
        "onetrainer",
        [("file", {"clip_l": L})],
    ),
    "OneTrainer output": (
        lambda: save({"emp_params_out": L}),
        "onetrainer",
        [("file", {"clip_l_out": L})],
    ),
    "OneTrainer SD3": (
        lambda: save({"clip_l": L, "clip_g": G, "t5": T5}),
        "onetrainer",
        [("file", {"clip_l": L, "clip_g": G, "t5xxl": T5})],
    ),
    "OneTrainer Sana": (
        lambda: save({"gemma": rows(2, 2304)}),
        "onetrainer",
        [("file", {"gemma2_2b": rows(2, 2304)})],
    ),
    "OneTrainer HunyuanVideo": (
        lambda: save({"llama": T5, "clip_l": L}),
        "comfyui",
        [("file", {"llama": T5, "clip_l": L})],
    ),
    "ComfyUI": (lambda: save({"t5xxl": T5}), "comfyui", [("file", {"t5xxl": T5})]),
    "pair, safetensors": (
        lambda: save({"text_encoders_0": L.half(), "text_encoders_1": G.half()}),
        "pairs",
        [("file", {"clip_l": L.half().float(), "clip_g": G.half().float()})],
    ),
    "pair, torch": (
        lambda: torch_bytes({"emb2": G[0], "emb": L[0], "step": torch.tensor(9), "name": "x"}),
        "pairs",
        [("file", {"clip_l": L[:1], "clip_g": G[:1]})],
    ),
    "pairs in a list": (
        lambda: torch_bytes([{"emb": L[i], "emb2": G[i]} for i in range(3)]),
        "pairs",
        [("file", {"clip_l": L, "clip_g": G})],
    ),
    "pairs in a tuple": (
        lambda: torch_bytes(({"clip_g": G[:2]}, {"clip_l": L[:2]})),
        "pairs",
        [("file", {"clip_l": L[:2], "clip_g": G[:2]})],
    ),
    "several pairs": (
        lambda: save(
            {"<a>.te1": L, "<a>.te2": G, "<b>.te1": L[:1].clone(), "<b>.te2": G[:1].clone()}
        ),
        "pairs",
        [("<a>", {"clip_l": L, "clip_g": G}), ("<b>", {"clip_l": L[:1], "clip_g": G[:1]})],
    ),
    "several pairs without names": (
        lambda: save({"a": L, "b": G, "c": L[:1].clone(), "d": G[:1].clone()}),
        "pairs",
        [("file-1", {"clip_l": L, "clip_g": G}), ("file-2", {"clip_l": L[:1], "clip_g": G[:1]})],
    ),
    "pair of FLUX": (
        lambda: save({"text_encoders_0": L, "text_encoders_1": T5}),
        "pairs",
        [("file", {"clip_l": L, "t5xxl": T5})],
    ),
    "pairs by word": (
        lambda: torch_bytes({"<a>": {"x": L, "y": G}, "<b>": {"x": L[:1], "y": G[:1]}}),
        "nested",
        [("<a>", {"clip_l": L, "clip_g": G}), ("<b>", {"clip_l": L[:1], "clip_g": G[:1]})],
    ),
    "pairs by encoder": (
        lambda: torch_bytes({"x": {"<a>": L, "<b>": L[:1]}, "y": {"<a>": G, "<b>": G[:1]}}),
        "nested",
        [("<a>", {"clip_l": L, "clip_g": G}), ("<b>", {"clip_l": L[:1], "clip_g": G[:1]})],
    ),
    "pair in a wrapping": (
        lambda: torch_bytes({"state_dict": {"x": L, "y": G}, "epoch": 3}),
        "nested",
        [("file", {"clip_l": L, "clip_g": G})],
    ),
    "pair in string_to_param": (
        lambda: torch_bytes(_a1111(string_to_param={"a": G, "b": L})),
        "a1111",
        [("cat", {"clip_l": L, "clip_g": G})],
    ),
    "keys that the widths belie": (
        lambda: save({"clip_l": G, "clip_g": L}),
        "sdxl",
        [("file", {"clip_l": L, "clip_g": G})],
    ),
    "clip_l of SDXL's second encoder": (
        lambda: save({"clip_l": G}),
        "comfyui",
        [("file", {"clip_g": G})],
    ),
    "clip_g of SD 1": (lambda: save({"clip_g": L}), "comfyui", [("file", {"clip_l": L})]),
    "metadata that is null": (
        lambda: _with_metadata(save({"<cat>": L}), "null"),
        "diffusers",
        [("<cat>", {"clip_l": L})],
    ),
    "metadata that is no text": (
        lambda: _with_metadata(save({"<cat>": L}), '{"step": 3, "tags": ["a", null]}'),
        "diffusers",
        [("<cat>", {"clip_l": L})],
    ),
    "LoRA of cloneofsimo": (
        lambda: save(
            {f"unet:{i}:{end}": rows(4, 8) for i in range(5) for end in ("up", "down")}
            | {"<s1>": L[0], "s2": L[1]},
            {"unet:0:rank": "4", "<s1>": "<embed>", "s2": "<embed>"},
        ),
        "bundle",
        [("<s1>", {"clip_l": L[:1]}), ("s2", {"clip_l": L[1:2]})],
    ),
    "LoRA with a pair": (
        lambda: save({"lora_unet_x.lora_up.weight": rows(4, 768), "a": L, "b": G}),
        "bundle",
        [("file", {"clip_l": L, "clip_g": G})],
    ),
    "LoRA with OneTrainer's words": (
        lambda: save(
            {
                "lora_unet_a.lora_down.weight": rows(4, 320),
                "bundle_emb.<cat>.clip_l": L,
                "bundle_emb.<cat>.clip_g": G,
                "bundle_emb.v1.5 dog.emp_params": L[:1].clone(),
            }
        ),
        "bundle",
        [("<cat>", {"clip_l": L, "clip_g": G}), ("v1.5 dog", {"clip_l": L[:1]})],
    ),
    "LoRA with OneTrainer's output embeddings": (
        lambda: save(
            {
                "lora_unet_a.lora_down.weight": rows(4, 320),
                "bundle_emb.<cat>.clip_l": 0 * L,
                "bundle_emb.<cat>.clip_g": 0 * G,
                "bundle_emb.<cat>.clip_l_out": L,
                "bundle_emb.<cat>.clip_g_out": G,
                "bundle_emb.<dog>.t5_out": T5,
            }
        ),
        "bundle",
        [
            ("<cat>", {"clip_l": 0 * L, "clip_l_out": L, "clip_g": 0 * G, "clip_g_out": G}),
            ("<dog>", {"t5xxl_out": T5}),
        ],
    ),
    "LoRA with OneTrainer's words for HunyuanVideo": (
        lambda: save(
            {
                "lora_unet_a.lora_down.weight": rows(4, 320),
                "bundle_emb.<cat>.llama": T5,
                "bundle_emb.<cat>.clip_l": L,
            }
        ),
        "bundle",
        [("<cat>", {"llama": T5, "clip_l": L})],
    ),
    "LoRA with AUTOMATIC1111's words": (
        lambda: save({"bundle_emb.cat.string_to_param.*": L, "lora_te_x.alpha": rows(1, 1)[0]}),
        "bundle",
        [("cat", {"clip_l": L})],
    ),
}
"""Name -> a function that makes the bytes, their layout, and the words in them."""


def write(name: str, folder: Path, ending: str = ".bin") -> Path:
    """Write the file called `name`; readers must not rely on its suffix."""
    path = folder / f"file{ending}"
    path.write_bytes(THEIRS[name][0]())
    return path
