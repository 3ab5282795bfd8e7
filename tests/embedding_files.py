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


def _paper(words: dict[str, Tensor]) -> bytes:
    parameters = nn.ParameterDict({key: nn.Parameter(value) for key, value in words.items()})
    tokens = {key: torch.tensor(265) for key in words}
    return torch_bytes({"string_to_token": tokens, "string_to_param": parameters})


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
    "LoRA with AUTOMATIC1111's words": (
        lambda: save({"bundle_emb.cat.string_to_param.*": L, "lora_te_x.alpha": rows(1, 1)[0]}),
        "bundle",
        [("cat", {"clip_l": L})],
    ),
}
"""Name -> how its bytes come about, the layout they have, and the words in them."""


def write(name: str, folder: Path, ending: str = ".bin") -> Path:
    """The file called `name`; readers must not look at its ending."""
    path = folder / f"file{ending}"
    path.write_bytes(THEIRS[name][0]())
    return path
