"""What a file or folder is, by its keys and shapes: mostly, one that is no base model."""

from collections.abc import Iterable
from pathlib import Path

from pseudoword.errors import BaseModelError
from pseudoword.models.loading import folder
from pseudoword.models.loading.header import Header
from pseudoword.text import brief

BASE_OF_TEXT_WIDTH = {768: "SD 1.x", 1024: "SD 2.x", 2048: "SDXL"}
"""Text width of the cross-attention -> base model."""

TRANSFORMERS = {
    "SD 3": ("joint_blocks.0.", "SD3Transformer2DModel"),
    "Chroma": ("distilled_guidance_layer.", "ChromaTransformer2DModel"),
    "FLUX.2": ("single_stream_modulation.", "Flux2Transformer2DModel"),
    "FLUX": ("vector_in.", "FluxTransformer2DModel"),
    "Ovis-Image": ("img_mlp.gate_proj.", "OvisImageTransformer2DModel"),
    "Qwen-Image": ("transformer_blocks.0.img_mod.", "QwenImageTransformer2DModel"),
    "Krea 2": ("txtfusion.", "Krea2Transformer2DModel"),
    "Z-Image": ("cap_pad_token", "ZImageTransformer2DModel"),
    "Lumina 2": ("cap_embedder.0.", "Lumina2Transformer2DModel"),
    "Sana": ("mlp.inverted_conv.", "SanaTransformer2DModel"),
    "PixArt": ("cross_attn.q_linear.", "PixArtTransformer2DModel"),
    "AuraFlow": ("cond_seq_linear.", "AuraFlowTransformer2DModel"),
    "LongCat-Image": ("txt_in.weight", "LongCatImageTransformer2DModel"),
}
"""Base models with a transformer -> a part of one of their keys in a single file, and diffusers'
class of the transformer.

The first one that fits is meant: later ones have such a part too."""

SCALED = (".scale_weight", ".weight_scale", "scaled_fp8")
"""Parts of keys of files whose weights are to be multiplied with numbers beside them."""

EDM = ("edm_mean", "edm_vpred.")
"""Parts of keys that mark a single file of a model with the noise of EDM (Karras et al. 2022)."""

UNSUPPORTED_MODELS = {
    "SDXL refiner": "conditioner.embedders.0.model.",
    "Stable Cascade": "clip_txt_mapper.",
}
"""Base models that no family supports -> a part of one of their keys."""

FROM_PICTURES = (
    "Control",
    "Edit",
    "Fill",
    "Img2Img",
    "Inpaint",
    "Kontext",
    "KV",
    "Layered",
    "Prior",
)
"""Behind the name of a family in diffusers' pipelines: they read pictures beside a prompt."""

LORA_KEYS = ("lora_up.", "lora_down.", ".lora_A.", ".lora_B.", "hada_w1", "lokr_w1", ".lora.up.")


def transformer_of(header: Header) -> tuple[str, str] | None:
    """The kind of model whose transformer a file holds, and diffusers' class of it; None: none."""
    if any(map(header.has, LORA_KEYS)):
        return None
    return next(
        ((name, kind) for name, (key, kind) in TRANSFORMERS.items() if header.has(key)), None
    )


def describe_file(header: Header) -> str:
    """What a file is that is no base model, and what to do with it; ends a sentence."""
    base = BASE_OF_TEXT_WIDTH.get(header.text_width or 0)
    made_for = f" for {base}" if base else ""
    if any(map(header.has, LORA_KEYS)):
        return (
            f"is a LoRA{made_for}. Give the model it was made for as the base, and the LoRA to "
            "generate with --lora"
        )
    if header.has("string_to_param") or _few_rows(header):
        return (
            "is an embedding, no model. Give it with --concept; `pseudoword inspect` says which "
            "base it fits"
        )
    if header.has("control_model.") or header.has("controlnet_cond_embedding."):
        return f"is a ControlNet{made_for}, which works together with a base model"
    if (found := transformer_of(header)) is not None:
        return (
            f"is a {found[0]} model in one file, which diffusers does not read. Give it as a "
            "folder in diffusers' layout, or as a hub id"
        )
    for name, key in UNSUPPORTED_MODELS.items():
        if header.has(key):
            return f"is a {name} model, which is not supported yet"
    if header.has("decoder.conv_in.weight") and header.text_width is None:
        return f"is a VAE{_latents_of(header)}, one part of a base model"
    if header.text_width is not None:
        return f"is a U-Net{made_for} without its text encoders; give the whole checkpoint"
    if header.has("transformer_blocks.0."):
        return (
            "is a transformer with diffusers' names of its weights, one part of a base model; give "
            "the whole folder in diffusers' layout"
        )
    if header.has("text_model.") or header.has("resblocks."):
        return "is a text encoder, one part of a base model"
    keys = ", ".join(list(header.shapes)[:3]) or "nothing"
    return f"is of an unknown kind (it holds {keys} …)"


def _few_rows(header: Header) -> bool:
    return 0 < len(header.shapes) <= 8 and all(
        0 < len(shape) <= 2 and not key.endswith((".weight", ".bias"))
        for key, shape in header.shapes.items()
    )


def _latents_of(header: Header) -> str:
    shapes = (s for k, s in header.shapes.items() if k.endswith("decoder.conv_in.weight"))
    channels = next((shape[1] for shape in shapes if len(shape) > 1), 0)
    return {4: " for SD 1.x, SD 2.x or SDXL", 16: " for SD 3 or FLUX"}.get(channels, "")


def describe_folder(path: Path) -> str:
    """What a folder without `model_index.json` is; ends a sentence."""
    if (path / "adapter_config.json").is_file() or any(path.glob("*lora*.safetensors")):
        return "holds a LoRA, which goes with --lora"
    try:
        kind = folder.read(path / "config.json").get("_class_name")
    except BaseModelError:
        kind = None
    if not isinstance(kind, str):
        return "is no base model"
    return f"is a part of a model, {brief(kind)}; give the folder above"


def from_text(pipeline: str, supported: Iterable[str]) -> str | None:
    """The one of `supported` that draws from text alone what `pipeline` draws from pictures too."""
    for name in sorted(supported, key=len, reverse=True):  # Flux2 before Flux
        family = name.removesuffix("Pipeline")
        if pipeline.startswith(family):
            rest = pipeline.removeprefix(family)
            return name if rest.startswith(FROM_PICTURES) else None
    return None
