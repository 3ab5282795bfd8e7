"""Tiny text encoders of every kind: real classes of transformers with random weights."""

from collections.abc import Callable
from typing import Any

import transformers

VOCABULARY, WIDTH = 64, 16

MULTIMODAL_ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}


def _clip(vocabulary: int, width: int) -> dict[str, Any]:
    return {**_language(vocabulary, width), "projection_dim": width, "max_position_embeddings": 8}


def _t5(vocabulary: int, width: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": width // 2,
        "d_ff": 2 * width,
        "num_layers": 2,
        "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
        "decoder_start_token_id": 0,
    }


def _language(vocabulary: int, width: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "pad_token_id": 0,
    }


def _seeing(vocabulary: int, width: int) -> dict[str, Any]:
    vision = {
        "hidden_size": width,
        "intermediate_size": 32,
        "depth": 1,
        "num_hidden_layers": 1,
        "num_heads": 2,
        "num_attention_heads": 2,
        "out_hidden_size": width,
    }
    return {"text_config": _language(vocabulary, width), "vision_config": vision}


def _qwen_vl(vocabulary: int, width: int) -> dict[str, Any]:
    whole = _seeing(vocabulary, width)
    whole["text_config"]["rope_parameters"] = MULTIMODAL_ROPE
    return whole


def _mistral(vocabulary: int, width: int) -> dict[str, Any]:
    whole = _seeing(vocabulary, width)
    whole["text_config"]["model_type"] = "mistral"
    whole["vision_config"] |= {"model_type": "pixtral", "head_dim": 8}
    return whole


KINDS: dict[str, tuple[str, str, Callable[[int, int], dict[str, Any]]]] = {
    "CLIP": ("CLIPTextModel", "CLIPTextConfig", _clip),
    "CLIP with projection": ("CLIPTextModelWithProjection", "CLIPTextConfig", _clip),
    "T5": ("T5EncoderModel", "T5Config", _t5),
    "UMT5": ("UMT5EncoderModel", "UMT5Config", _t5),
    "Gemma 2": ("Gemma2Model", "Gemma2Config", _language),
    "Gemma 3": ("Gemma3TextModel", "Gemma3TextConfig", _language),
    "Llama": ("LlamaForCausalLM", "LlamaConfig", _language),
    "Qwen 3": ("Qwen3ForCausalLM", "Qwen3Config", _language),
    "Qwen 2.5 VL": ("Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLConfig", _qwen_vl),
    "Qwen 3 VL": ("Qwen3VLModel", "Qwen3VLConfig", _qwen_vl),
    "Mistral 3": ("Mistral3ForConditionalGeneration", "Mistral3Config", _mistral),
}
"""Name -> model class, config class, what stands in the config."""


def encoder(
    kind: str, vocabulary: int = VOCABULARY, width: int = WIDTH, blocks: int | None = None
) -> Any:
    """A frozen text encoder; on the meta device within `torch.device("meta")`."""
    model, config, values = KINDS[kind]
    settings = values(vocabulary, width)
    if blocks is not None:
        settings.get("text_config", settings)["num_hidden_layers"] = blocks
    made = getattr(transformers, model)(getattr(transformers, config)(**settings))
    made.config.get_text_config().use_cache = False  # as `ModelParts` loads it
    return made.requires_grad_(False).eval()
