"""Write a model in diffusers' layout as one file, with its original authors' names of weights.

The way back of what diffusers' single-file loader does, for the tests only: CompVis' names for
SD 1 and SD 2, Stability's for SDXL and SD 3, and Z-Image's.
"""

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    Krea2Transformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

Weights = dict[str, Tensor]

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_NAMES = {
    "conv_shortcut": "nin_shortcut",
    "downsamplers.0": "downsample",
    "upsamplers.0": "upsample",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "conv_norm_out": "norm_out",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    ".resnets.": ".block.",
}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def write(base: Path, file: Path, **more: Tensor) -> Path:
    """Write the model in the folder `base` to `file`, `.safetensors` or `.ckpt`."""
    weights = {f"model.diffusion_model.{k}": v for k, v in _unet(base).items()}
    weights |= {f"first_stage_model.{k}": v for k, v in _vae(base).items()}
    text = CLIPTextModel.from_pretrained(base, subfolder="text_encoder")
    if (base / "text_encoder_2").is_dir():
        second = CLIPTextModelWithProjection.from_pretrained(base, subfolder="text_encoder_2")
        weights |= _clip(text, "conditioner.embedders.0.transformer.")
        weights |= _open_clip(second, "conditioner.embedders.1.model.")
    elif text.config.hidden_act == "gelu":
        weights |= _open_clip(text, "cond_stage_model.model.")
    else:
        weights |= _clip(text, "cond_stage_model.transformer.")
    weights = {key: tensor.contiguous().clone() for key, tensor in (weights | more).items()}
    if file.suffix == ".ckpt":
        torch.save({"state_dict": weights, "global_step": 1}, file)
    else:
        save_file(weights, file)
    return file


def _unet(base: Path) -> Weights:
    model = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    depth = model.config.layers_per_block
    named = {}
    for key, tensor in model.state_dict().items():
        for ours, theirs in ENDS.items():
            key = re.sub(rf"^{ours}\.", f"{theirs}.", key)
        if found := re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", key):
            way, block, part, layer, rest = found.groups()
            pitch = depth + 1
            at = int(block) * pitch + int(layer) + (way == "down")
            if part == "downsamplers":
                key = f"input_blocks.{int(block) * pitch + depth + 1}.0.op.{rest[5:]}"
            elif part == "upsamplers":
                attention = bool(getattr(model.up_blocks[int(block)], "attentions", None))
                key = f"output_blocks.{int(block) * pitch + depth}.{1 + attention}.{rest}"
            else:
                side = "input" if way == "down" else "output"
                key = f"{side}_blocks.{at}.{int(part == 'attentions')}.{rest}"
        elif found := re.match(r"mid_block\.(\w+)\.(\d+)\.(.*)", key):
            part, layer, rest = found.groups()
            key = f"middle_block.{1 if part == 'attentions' else 2 * int(layer)}.{rest}"
        for ours, theirs in RESNET.items():
            key = re.sub(rf"^(\w+_block\w*\.[\d.]+){ours}\.", rf"\g<1>{theirs}.", key)
        named[key] = tensor
    return named


def _vae(base: Path) -> Weights:
    model = AutoencoderKL.from_pretrained(base, subfolder="vae")
    blocks = len(model.config.block_out_channels)
    named = {}
    for key, tensor in model.state_dict().items():
        for ours, theirs in VAE_NAMES.items():
            key = key.replace(ours, theirs)
        key = key.replace("down_blocks", "down")
        key = re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{blocks - 1 - int(m[1])}", key)
        if "attn_1" in key and "norm" not in key and key.endswith("weight"):
            tensor = tensor[:, :, None, None]
        named[key] = tensor
    return named


def _plain(model: Any) -> Weights:
    """A text encoder's weights, without the prefix of some versions."""
    return {k.removeprefix("text_model."): v for k, v in model.state_dict().items()}


def _clip(model: Any, prefix: str) -> Weights:
    return {f"{prefix}text_model.{key}": tensor for key, tensor in _plain(model).items()}


def _open_clip(model: Any, prefix: str) -> Weights:
    ours = _plain(model)
    named = {
        "token_embedding.weight": ours["embeddings.token_embedding.weight"],
        "positional_embedding": ours["embeddings.position_embedding.weight"],
        "ln_final.weight": ours["final_layer_norm.weight"],
        "ln_final.bias": ours["final_layer_norm.bias"],
    }
    if "text_projection.weight" in ours:
        named["text_projection"] = ours["text_projection.weight"].T
    for key, tensor in ours.items():
        if found := re.match(r"encoder\.layers\.(\d+)\.(.*)", key):
            layer, rest = found.groups()
            if found := re.match(r"self_attn\.q_proj\.(\w+)", rest):
                keys = [key.replace("q_proj", f"{one}_proj") for one in "qkv"]
                rest, tensor = f"attn.in_proj_{found[1]}", torch.cat([ours[k] for k in keys])
            elif re.match(r"self_attn\.[kv]_proj", rest):
                continue
            for mine, theirs in OPEN_CLIP.items():
                rest = rest.replace(mine, theirs)
            named[f"transformer.resblocks.{layer}.{rest}"] = tensor
    return {prefix + key: tensor for key, tensor in named.items()}


SD3_ENDS = {
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
SD3_BLOCK = {
    "attn.to_q": "x_block.attn.q",
    "attn.to_k": "x_block.attn.k",
    "attn.to_v": "x_block.attn.v",
    "attn.to_out.0": "x_block.attn.proj",
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.add_q_proj": "context_block.attn.q",
    "attn.add_k_proj": "context_block.attn.k",
    "attn.add_v_proj": "context_block.attn.v",
    "attn.to_add_out": "context_block.attn.proj",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn2.to_q": "x_block.attn2.q",
    "attn2.to_k": "x_block.attn2.k",
    "attn2.to_v": "x_block.attn2.v",
    "attn2.to_out.0": "x_block.attn2.proj",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}


def write_sd3_transformer(base: Path, file: Path) -> Path:
    """Write the transformer of the SD 3 model in the folder `base` to `file`."""
    model = SD3Transformer2DModel.from_pretrained(base, subfolder="transformer")
    last = f"{len(model.transformer_blocks) - 1}.norm1_context.linear."
    named: Weights = {}
    for key, tensor in model.state_dict().items():
        name, _, kind = key.rpartition(".")
        if name == "norm_out.linear" or last in key:  # scale and shift are the other way round
            tensor = torch.cat(tensor.chunk(2)[::-1])
        if name.startswith("transformer_blocks."):
            _, block, inside = name.split(".", 2)
            named[f"joint_blocks.{block}.{SD3_BLOCK[inside]}.{kind}"] = tensor
        else:
            named[f"{SD3_ENDS.get(name, name)}.{kind}"] = tensor
    named["pos_embed"] = named.pop("pos_embed.pos_embed")
    named = {f"model.diffusion_model.{key}": tensor for key, tensor in named.items()}
    save_file(_fused(named, r"(.*\.attn2?\.)([qkv])(\.\w+)"), file)
    return file


Z_IMAGE = {
    "all_final_layer.2-1.": "final_layer.",
    "all_x_embedder.2-1.": "x_embedder.",
    ".attention.to_out.0.": ".attention.out.",
    ".attention.norm_k.": ".attention.k_norm.",
    ".attention.norm_q.": ".attention.q_norm.",
}


def write_z_image_transformer(base: Path, file: Path) -> Path:
    """Write the transformer of the Z-Image model in the folder `base` to `file`."""
    model = ZImageTransformer2DModel.from_pretrained(base, subfolder="transformer")
    named = {
        f"model.diffusion_model.{_renamed(k, Z_IMAGE)}": v for k, v in model.state_dict().items()
    }
    save_file(_fused(named, r"(.*\.attention\.)to_([qkv])(\.\w+)"), file)
    return file


KREA2 = {
    "img_in.": "first.",
    "time_embed.linear_1.": "tmlp.0.",
    "time_embed.linear_2.": "tmlp.2.",
    "time_mod_proj.": "tproj.1.",
    "txt_in.norm.weight": "txtmlp.0.scale",
    "txt_in.linear_1.": "txtmlp.1.",
    "txt_in.linear_2.": "txtmlp.3.",
    "text_fusion.": "txtfusion.",
    "final_layer.linear.": "last.linear.",
    "final_layer.norm.weight": "last.norm.scale",
    "final_layer.scale_shift_table": "last.modulation.lin",
    "transformer_blocks.": "blocks.",
    ".scale_shift_table": ".mod.lin",
    ".attn.to_q.": ".attn.wq.",
    ".attn.to_k.": ".attn.wk.",
    ".attn.to_v.": ".attn.wv.",
    ".attn.to_out.0.": ".attn.wo.",
    ".attn.to_gate.": ".attn.gate.",
    ".attn.norm_q.weight": ".attn.qknorm.qnorm.scale",
    ".attn.norm_k.weight": ".attn.qknorm.knorm.scale",
    ".ff.": ".mlp.",
    ".norm1.weight": ".prenorm.scale",
    ".norm2.weight": ".postnorm.scale",
}


def write_krea2_transformer(base: Path, file: Path) -> Path:
    """Write the transformer of the Krea 2 model in the folder `base` to `file`."""
    model = Krea2Transformer2DModel.from_pretrained(base, subfolder="transformer")
    named = {_renamed(key, KREA2): tensor for key, tensor in model.state_dict().items()}
    flat = {k: t.flatten() if k.endswith(".mod.lin") else t for k, t in named.items()}
    save_file({key: tensor.contiguous().clone() for key, tensor in flat.items()}, file)
    return file


def _renamed(key: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        key = key.replace(ours, theirs)
    return key


def _fused(named: Weights, pattern: str) -> Weights:
    """`named`, in which each q, k and v that `pattern` finds are one tensor, `qkv`."""
    weights: Weights = {}
    for key, tensor in named.items():
        part = re.fullmatch(pattern, key)
        if part is None:
            weights[key] = tensor
        elif part[2] == "q":
            three = [named[f"{key[: part.start(2)]}{one}{part[3]}"] for one in "qkv"]
            weights[f"{part[1]}qkv{part[3]}"] = torch.cat(three)
    return {key: tensor.contiguous().clone() for key, tensor in weights.items()}
