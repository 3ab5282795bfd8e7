"""Print the table of docs/families.md on memory: what `plan` says for models of every family.

    python scripts/plan_table.py [MODEL ...]

Each model is a folder of configs with the published sizes, without weights. What takes no memory on
the device, such as tokenizers, is that of the tiny members in tests/tiny.py.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import diffusers
import tiny
import torch
import transformers

from pseudoword.config import PlanConfig, Quantize
from pseudoword.training.memory_plan import Plan, plan_memory

GIB = 1 << 30
CARDS = (8, 12, 16, 24)
"""GiB of memory that graphics cards have."""
ROOM = 1.05
"""So much more than planned should be there."""

WAYS: Mapping[str, tuple[Quantize, bool, bool]] = {
    "16 bits": ("none", False, False),
    "checkpointed": ("none", True, False),
    "8 bits": ("8bit", True, False),
    "4 bits": ("4bit", True, False),
    "offloaded": ("none", True, True),
    "offloaded 8 bits": ("8bit", True, True),
}
"""Column -> `--quantize`, `--gradient-checkpointing`, `--offload`; the slowest last."""

Part = tuple[str, dict[str, Any]]
"""A part's config: its class in diffusers or transformers, and what differs from its defaults."""

CLIP: dict[str, Any] = {"vocab_size": 49408, "max_position_embeddings": 77}
CLIP_L: Part = (
    "CLIPTextConfig",
    {
        **CLIP,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "projection_dim": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    },
)
CLIP_G: Part = (
    "CLIPTextConfig",
    {
        **CLIP,
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "projection_dim": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "hidden_act": "gelu",
    },
)
T5: Part = (
    "T5Config",
    {
        "vocab_size": 32128,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "feed_forward_proj": "gated-gelu",
    },
)
PILE_T5: Part = (
    "UMT5Config",
    {
        "vocab_size": 32128,
        "d_model": 2048,
        "d_kv": 64,
        "d_ff": 5120,
        "num_layers": 24,
        "num_heads": 32,
    },
)
GEMMA: Part = ("Gemma2Config", {})
QWEN3_4B: Part = (
    "Qwen3Config",
    {
        "vocab_size": 151936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
    },
)
QWEN3_2B: Part = (
    "Qwen3Config",
    {
        **QWEN3_4B[1],
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
    },
)
MISTRAL: Part = (
    "Mistral3Config",
    {
        "text_config": {
            "model_type": "mistral",
            "vocab_size": 131072,
            "hidden_size": 5120,
            "intermediate_size": 32768,
            "num_hidden_layers": 40,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
        }
    },
)
QWEN25_7B: Part = (
    "Qwen2_5_VLConfig",
    {
        "text_config": {
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [16, 24, 24],
                "rope_theta": 1000000.0,
            },
        }
    },
)

QWEN3_VL_4B: Part = (
    "Qwen3VLConfig",
    {"text_config": {k: v for k, v in QWEN3_4B[1].items() if k != "tie_word_embeddings"}},
)

BLOCKS: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 1024,
}
VAE_4: Part = ("AutoencoderKL", {**BLOCKS, "latent_channels": 4})
VAE_16: Part = (
    "AutoencoderKL",
    {**BLOCKS, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False},
)
_DEEP = ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3
VAE_DEEP: Part = (
    "AutoencoderDC",
    {
        "encoder_block_types": _DEEP,
        "decoder_block_types": _DEEP,
        "downsample_block_type": "conv",
        "upsample_block_type": "interpolate",
    },
)

SD3: dict[str, Any] = {
    "sample_size": 128,
    "in_channels": 16,
    "out_channels": 16,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 2048,
    "qk_norm": "rms_norm",
    "attention_head_dim": 64,
}
MEDIUM: Part = (
    "SD3Transformer2DModel",
    {
        **SD3,
        "num_layers": 24,
        "num_attention_heads": 24,
        "caption_projection_dim": 1536,
        "pos_embed_max_size": 384,
        "dual_attention_layers": tuple(range(13)),
    },
)
LARGE: Part = (
    "SD3Transformer2DModel",
    {
        **SD3,
        "num_layers": 38,
        "num_attention_heads": 38,
        "caption_projection_dim": 2432,
        "pos_embed_max_size": 192,
    },
)
KLEIN: Part = (
    "Flux2Transformer2DModel",
    {
        "num_layers": 5,
        "num_single_layers": 20,
        "num_attention_heads": 24,
        "joint_attention_dim": 7680,
        "guidance_embeds": False,
    },
)

MODELS: Mapping[str, tuple[str, dict[str, Part]]] = {
    "SD 3.5 medium without T5": (
        "sd3",
        {"transformer": MEDIUM, "vae": VAE_16, "text_encoder": CLIP_L, "text_encoder_2": CLIP_G},
    ),
    "SD 3.5 medium": (
        "sd3",
        {
            **{"transformer": MEDIUM, "vae": VAE_16, "text_encoder": CLIP_L},
            **{"text_encoder_2": CLIP_G, "text_encoder_3": T5},
        },
    ),
    "SD 3.5 large": (
        "sd3",
        {
            **{"transformer": LARGE, "vae": VAE_16, "text_encoder": CLIP_L},
            **{"text_encoder_2": CLIP_G, "text_encoder_3": T5},
        },
    ),
    "FLUX.1 dev": (
        "flux",
        {
            "transformer": ("FluxTransformer2DModel", {"guidance_embeds": True}),
            **{"vae": VAE_16, "text_encoder": CLIP_L, "text_encoder_2": T5},
        },
    ),
    "FLUX.2 klein 4B": (
        "flux2-klein",
        {"transformer": KLEIN, "vae": ("AutoencoderKLFlux2", {}), "text_encoder": QWEN3_4B},
    ),
    "FLUX.2 dev": (
        "flux2",
        {
            "transformer": ("Flux2Transformer2DModel", {}),
            **{"vae": ("AutoencoderKLFlux2", {}), "text_encoder": MISTRAL},
        },
    ),
    "Chroma": (
        "chroma",
        {"transformer": ("ChromaTransformer2DModel", {}), "vae": VAE_16, "text_encoder": T5},
    ),
    "PixArt-Sigma": (
        "pixart",
        {
            "transformer": (
                "PixArtTransformer2DModel",
                {"caption_channels": 4096, "use_additional_conditions": False},
            ),
            **{"vae": VAE_4, "text_encoder": T5},
        },
    ),
    "Sana 1.6B": (
        "sana",
        {"transformer": ("SanaTransformer2DModel", {}), "vae": VAE_DEEP, "text_encoder": GEMMA},
    ),
    "Qwen-Image": (
        "qwen-image",
        {
            "transformer": ("QwenImageTransformer2DModel", {}),
            **{"vae": ("AutoencoderKLQwenImage", {}), "text_encoder": QWEN25_7B},
        },
    ),
    "LongCat-Image": (
        "longcat-image",
        {
            "transformer": (
                "LongCatImageTransformer2DModel",
                {"num_layers": 10, "num_single_layers": 20},
            ),
            **{"vae": VAE_16, "text_encoder": QWEN25_7B},
        },
    ),
    "Krea 2": (
        "krea2",
        {
            "transformer": ("Krea2Transformer2DModel", {}),
            **{"vae": ("AutoencoderKLQwenImage", {}), "text_encoder": QWEN3_VL_4B},
        },
    ),
    "Z-Image": (
        "z-image",
        {
            "transformer": ("ZImageTransformer2DModel", {}),
            **{"vae": VAE_16, "text_encoder": QWEN3_4B},
        },
    ),
    "Ovis-Image": (
        "ovis-image",
        {
            "transformer": ("OvisImageTransformer2DModel", {}),
            **{"vae": VAE_16, "text_encoder": QWEN3_2B},
        },
    ),
    "Lumina 2": (
        "lumina2",
        {
            "transformer": ("Lumina2Transformer2DModel", {"cap_feat_dim": 2304}),
            **{"vae": VAE_16, "text_encoder": GEMMA},
        },
    ),
    "AuraFlow": (
        "auraflow",
        {
            "transformer": ("AuraFlowTransformer2DModel", {"sample_size": 128}),
            **{"vae": VAE_4, "text_encoder": PILE_T5},
        },
    ),
}
"""Model -> its tiny member, and the configs of its parts."""

NAMED: Mapping[str, str] = {"SD 1.x": "sd1", "SD 2.x": "sd2", "SDXL": "sdxl"}
"""Model -> what `plan` calls it: its configs come with the package."""

ALL = (*NAMED, *MODELS)
"""In the order of the table."""

TINY: Mapping[str, Callable[[Path], Path]] = {
    **tiny.BASES,
    "sd3 without T5": lambda folder: tiny.sd3(folder, t5=False),
}


def configs(folder: Path, model: str) -> None:
    """Write the configs of `model` into `folder`, in diffusers' layout."""
    member, parts = MODELS[model]
    if member == "sd3" and "text_encoder_3" not in parts:
        member = "sd3 without T5"
    # of the published model, other blocks are read than of the tiny one
    with mock.patch.object(tiny, "read_blocks"):
        TINY[member](folder)
    for name, (kind, values) in parts.items():
        if kind.endswith("Config"):
            getattr(transformers, kind)(**values).save_pretrained(folder / name)
            continue
        with torch.device("meta"):
            getattr(diffusers, kind)(**values).save_config(folder / name)
    index = folder / "model_index.json"
    entries = json.loads(index.read_text())
    for own in ("_resolution", "text_encoder_select_layers"):  # of the tiny member
        entries.pop(own, None)
    index.write_text(json.dumps(entries))


def make_folder(folder: Path, model: str, *, tiny_member: bool = False) -> None:
    """Make `folder` a model of which all configs are there: `model` itself, or its tiny member."""
    if tiny_member:
        TINY[MODELS[model][0]](folder)
    else:
        configs(folder, model)


def plan(model: str) -> Plan:
    """What training on `model` needs on a GPU."""
    choice = {"resolution": 1024, "batch": 1, "dtype": "bfloat16", "device": "cuda"}
    with tempfile.TemporaryDirectory() as folder:
        if model not in NAMED:
            configs(Path(folder), model)
        return plan_memory(PlanConfig.check(base=NAMED.get(model, folder), **choice))


@dataclass(frozen=True)
class Peaks:
    """What is needed on a way, in bytes."""

    encode: int
    """while a picture is encoded"""
    train: int
    draw: int
    """while a picture is drawn, with all parts on the device but blocks that are away"""

    @property
    def learning(self) -> int:
        """What learning a word needs."""
        return max(self.encode, self.train)


def peaks(planned: Plan, way: str) -> Peaks:
    """What `planned` says of a way, in bytes."""
    quantize, checkpointing, offload = WAYS[way]
    need = planned.need(quantize, checkpointing, offload=offload)
    picture = planned.picture(quantize, offload=offload)
    return Peaks(picture.encode_nbytes, need.nbytes, picture.draw_nbytes)


def row(model: str) -> str:
    """A row of the table, in GiB; and for each card the mildest way that fits."""
    planned = plan(model)
    needs = {way: peaks(planned, way).learning for way in WAYS}
    numbers = [f"{need / GIB:.1f}" for need in needs.values()]
    fits = [next((way for way in WAYS if needs[way] * ROOM <= card * GIB), "–") for card in CARDS]
    return f"| {' | '.join([model, *numbers, f'{planned.draw_nbytes / GIB:.1f}', *fits])} |"


def main() -> None:
    """Plan each model, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("model", nargs="*", help=f"of {', '.join(ALL)}; by default all")
    heads = ["model", *WAYS, "drawing", *(f"{card} GB" for card in CARDS)]
    print(f"| {' | '.join(heads)} |")
    print("| --- " * len(heads) + "|")
    for model in parser.parse_args().model or ALL:
        print(row(model), flush=True)


if __name__ == "__main__":
    main()
