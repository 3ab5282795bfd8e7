"""Print the table of docs/families.md on models with a transformer: what `plan` says for them.

    python scripts/plan_table.py

Each model is a folder of configs with the published sizes, without weights. Tokenizers are small
ones: they take no memory on the device.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from pseudoword.config import PlanConfig, Quantize
from pseudoword.models.loading import single_file_configs
from pseudoword.training.memory_plan import plan_memory

GIB = 1 << 30
CARDS = (8, 12, 16, 24, 32, 48, 80)
"""GiB of memory that graphics cards have."""

ROWS: dict[str, tuple[Quantize, bool]] = {
    "training": ("none", False),
    "`--gradient-checkpointing`": ("none", True),
    "`--quantize 8bit --gradient-checkpointing`": ("8bit", True),
    "`--quantize 4bit --gradient-checkpointing`": ("4bit", True),
}

CLIP = {"vocab_size": 49408, "max_position_embeddings": 77}
CLIP_L = {**CLIP, "hidden_size": 768, "intermediate_size": 3072, "projection_dim": 768}
CLIP_L |= {"num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_G: dict[str, Any] = {
    **CLIP,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "projection_dim": 1280,
}
CLIP_G |= {"num_hidden_layers": 32, "num_attention_heads": 20, "hidden_act": "gelu"}
T5: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
}
T5 |= {"num_heads": 64, "feed_forward_proj": "gated-gelu"}
ENCODERS: dict[str, tuple[str, type[Any], dict[str, Any]]] = {
    "clip": ("CLIPTextModel", transformers.CLIPTextConfig, CLIP_L),
    "clip_l": ("CLIPTextModelWithProjection", transformers.CLIPTextConfig, CLIP_L),
    "clip_g": ("CLIPTextModelWithProjection", transformers.CLIPTextConfig, CLIP_G),
    "t5": ("T5EncoderModel", transformers.T5Config, T5),
}

SD3: dict[str, Any] = {
    "sample_size": 128,
    "in_channels": 16,
    "out_channels": 16,
    "joint_attention_dim": 4096,
}
SD3 |= {"pooled_projection_dim": 2048, "qk_norm": "rms_norm", "attention_head_dim": 64}
MEDIUM: dict[str, Any] = {
    **SD3,
    "num_layers": 24,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
}
MEDIUM |= {"pos_embed_max_size": 384, "dual_attention_layers": tuple(range(13))}
LARGE: dict[str, Any] = {
    **SD3,
    "num_layers": 38,
    "num_attention_heads": 38,
    "caption_projection_dim": 2432,
}
LARGE |= {"pos_embed_max_size": 192}
MODELS: dict[str, tuple[str, str, dict[str, Any], tuple[str, ...]]] = {
    "SD 3.5 medium without T5": (
        *("StableDiffusion3Pipeline", "SD3Transformer2DModel", MEDIUM),
        ("clip_l", "clip_g"),
    ),
    "SD 3.5 medium": (
        *("StableDiffusion3Pipeline", "SD3Transformer2DModel", MEDIUM),
        ("clip_l", "clip_g", "t5"),
    ),
    "SD 3.5 large": (
        *("StableDiffusion3Pipeline", "SD3Transformer2DModel", LARGE),
        ("clip_l", "clip_g", "t5"),
    ),
    "FLUX.1 dev": (
        *("FluxPipeline", "FluxTransformer2DModel", {"guidance_embeds": True}),
        ("clip", "t5"),
    ),
    "Chroma": ("ChromaPipeline", "ChromaTransformer2DModel", {}, ("t5",)),
}
"""Model -> pipeline, transformer, what differs from its class's defaults, text encoders."""


def configs(folder: Path, model: str) -> None:
    """Write the configs of `model` into `folder`, in diffusers' layout."""
    pipeline, kind, sizes, encoders = MODELS[model]
    index: dict[str, Any] = {"_class_name": pipeline, "transformer": ["diffusers", kind]}
    for i, name in enumerate(encoders):
        suffix = f"_{i + 1}" if i else ""
        text, config, values = ENCODERS[name]
        config(**values).save_pretrained(folder / f"text_encoder{suffix}")
        words = _t5_tokenizer() if name == "t5" else _clip_tokenizer()
        words.save_pretrained(folder / f"tokenizer{suffix}")
        index[f"text_encoder{suffix}"] = ["transformers", text]
        index[f"tokenizer{suffix}"] = ["transformers", type(words).__name__]
    with torch.device("meta"):
        getattr(diffusers, kind)(**sizes).save_config(folder / "transformer")
        _vae().save_config(folder / "vae")
    dynamic = pipeline != "StableDiffusion3Pipeline"
    diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=dynamic).save_config(
        folder / "scheduler"
    )
    (folder / "model_index.json").write_text(json.dumps(index))


def _vae() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=16,
        sample_size=1024,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def _clip_tokenizer() -> Any:
    return transformers.CLIPTokenizer.from_pretrained(
        single_file_configs.folder("sdxl"), subfolder="tokenizer"
    )


def _t5_tokenizer() -> Any:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(letter, -1.0) for letter in ("▁", *map(chr, range(33, 127)))]
    return transformers.T5Tokenizer(vocab=pieces)


def main() -> None:
    """Plan each model, and print the table."""
    columns: dict[str, list[str]] = {}
    for model in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            configs(Path(folder), model)
            plan = plan_memory(
                PlanConfig.check(base=folder, resolution=1024, batch=1, dtype="bfloat16")
            )
        needs = {(need.quantize, need.gradient_checkpointing): need for need in plan.train}
        columns[model] = [f"{needs[way].nbytes / GIB:.1f}" for way in ROWS.values()]
        columns[model].append(f"{plan.draw_nbytes / GIB:.1f}")
        least = needs["4bit", True].nbytes / GIB
        columns[model].append(str(next(card for card in CARDS if card > 1.05 * least)))
    print("|  |", " | ".join(columns), "|")
    print("| --- " * (len(columns) + 1) + "|")
    for i, title in enumerate([*ROWS, "drawing a picture", "smallest card for training, GiB"]):
        print("|", title, "|", " | ".join(column[i] for column in columns.values()), "|")


if __name__ == "__main__":
    main()
