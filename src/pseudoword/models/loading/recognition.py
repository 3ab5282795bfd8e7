"""What a file or folder is, told by its keys and shapes: a base model, or something else."""

from pathlib import Path

from pseudoword.errors import BaseModelError
from pseudoword.models.loading import folder
from pseudoword.models.loading.header import Header
from pseudoword.text import brief

OF_TEXT_WIDTH = {768: "SD 1.x", 1024: "SD 2.x", 2048: "SDXL"}
"""Which base models have text of this width at their cross-attention."""

OTHERS = {
    "FLUX": "double_blocks.0.",
    "SD 3": "joint_blocks.0.",
    "SDXL refiner": "conditioner.embedders.0.model.",
    "Stable Cascade": "clip_txt_mapper.",
}
"""Base models that are told apart but not known to `FAMILIES`, by a part of their keys."""

LORA = ("lora_up.", "lora_down.", ".lora_A.", ".lora_B.", "hada_w1", "lokr_w1", ".lora.up.")


def explain(found: Header) -> str:
    """What a file that is no base model is, and what it fits: the end of a sentence."""
    fits = OF_TEXT_WIDTH.get(found.text_width or 0)
    made_for = f" for {fits}" if fits else ""
    if any(found.has(mark) for mark in LORA):
        return (
            f"is a LoRA{made_for}. Give the model it was made for as the base, and the LoRA to "
            "generate with --lora"
        )
    if found.has("string_to_param") or _few_rows(found):
        return (
            "is an embedding: a word, no model. Give it with --concept; `pseudoword inspect` says "
            "which base it fits"
        )
    if found.has("control_model.") or found.has("controlnet_cond_embedding."):
        return f"is a ControlNet{made_for}, which steers a base model and is none"
    for name, mark in OTHERS.items():
        if found.has(mark):
            return f"is a {name} model, which is not known yet"
    if found.has("decoder.conv_in.weight") and found.text_width is None:
        return f"is a VAE{_latents_of(found)}, one part of a base model"
    if found.text_width is not None:
        return f"is a U-Net{made_for} without its text encoders; give the whole checkpoint"
    if found.has("text_model.") or found.has("resblocks."):
        return "is a text encoder, one part of a base model"
    keys = ", ".join(list(found.shapes)[:3]) or "nothing"
    return f"is of no kind known here (it holds {keys} …)"


def _few_rows(found: Header) -> bool:
    return len(found.shapes) <= 8 and all(
        0 < len(shape) <= 2 and not key.endswith((".weight", ".bias"))
        for key, shape in found.shapes.items()
    )


def _latents_of(found: Header) -> str:
    channels = next(s[1] for k, s in found.shapes.items() if k.endswith("decoder.conv_in.weight"))
    return {4: " for SD 1.x, SD 2.x or SDXL", 16: " for SD 3 or FLUX"}.get(channels, "")


def explain_folder(path: Path) -> str:
    """What a folder without `model_index.json` is: the end of a sentence."""
    if (path / "adapter_config.json").is_file() or any(path.glob("*lora*.safetensors")):
        return "holds a LoRA, which goes with --lora"
    try:
        kind = folder.read(path / "config.json").get("_class_name")
    except BaseModelError:
        kind = None
    if not isinstance(kind, str):
        return "is no base model"
    return f"is a part of a model, {brief(kind)}; give the folder above"
