"""What each tool calls a text encoder. `Concept` uses ComfyUI's keys; others are translated.

Layered concepts (XTI) have rows per cross-attention layer: `clip_l.IN01` … `clip_l.OUT11`.
OneTrainer's output embeddings go into the encoder's output, not its input: keys that end in `_out`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from pseudoword.concept import ENCODER_OF_WIDTH

Rows = TypeVar("Rows")

WIDTHS: Mapping[str, int] = {
    "clip_l": 768,
    "clip_h": 1024,
    "clip_g": 1280,
    "t5xxl": 4096,
    "umt5xxl": 4096,
    "llama": 4096,
    "gemma2_2b": 2304,
    "gemma3_4b": 2560,
    "gemma3_12b": 3840,
    "qwen25_3b": 2048,
    "qwen25_7b": 3584,
    "qwen3_06b": 1024,
    "qwen3_4b": 2560,
    "qwen3_8b": 4096,
    "mistral3_24b": 5120,
}
"""ComfyUI's key of a text encoder -> numbers per row."""

ONETRAINER = {"t5": "t5xxl", "gemma": "gemma2_2b"}
"""OneTrainer's key -> ours, where they differ."""

UNNAMED = ("emb_params", "emp_params")
"""Keys of kohya and OneTrainer (sic) that name no encoder; the width decides which one it is."""

OUTPUT_SUFFIX = "_out"

XTI_LAYERS = (
    *("IN01", "IN02", "IN04", "IN05", "IN07", "IN08", "MID"),
    *(f"OUT{i:02}" for i in range(3, 12)),
)
"""XTI's names for the cross-attention layers of Stable Diffusion 1's U-Net, in order."""

_ENCODER_OF_WIDTH = {**ENCODER_OF_WIDTH, 2304: "gemma2_2b", 3584: "qwen25_7b", 3840: "gemma3_12b"}

FAMILIES_OF_ENCODERS: Mapping[frozenset[str], tuple[str, ...]] = {
    frozenset({"clip_l"}): ("sd",),
    frozenset({"clip_h"}): ("sd",),
    frozenset({"clip_g"}): ("wuerstchen",),
    frozenset({"clip_l", "clip_g"}): ("sdxl",),
    frozenset({"clip_l", "clip_g", "t5xxl"}): ("sd3",),
    frozenset({"clip_l", "t5xxl"}): ("flux",),
    frozenset({"t5xxl"}): ("flux", "sd3", "chroma", "pixart"),
    frozenset({"umt5xxl"}): ("wan",),
    frozenset({"gemma2_2b"}): ("sana", "lumina2"),
    frozenset({"llama", "clip_l"}): ("hunyuan-video",),
    frozenset({"clip_l", "clip_g", "t5xxl", "llama"}): ("hidream",),
    frozenset({"qwen25_7b"}): ("qwen-image",),
    frozenset({"qwen3_4b"}): ("z-image", "flux2"),
    frozenset({"mistral3_24b"}): ("flux2",),
}
"""Text encoders -> the model families that have exactly these."""

DIFFUSERS_SUFFIXES: Mapping[frozenset[str], Mapping[str, str]] = {
    frozenset({"clip_l"}): {"clip_l": ""},
    frozenset({"clip_h"}): {"clip_h": ""},
    frozenset({"clip_l", "clip_g"}): {"clip_l": "", "clip_g": "_2"},
    frozenset({"clip_l", "t5xxl"}): {"clip_l": "", "t5xxl": "_2"},
    frozenset({"t5xxl"}): {"t5xxl": "_2"},
}
"""Text encoders of the pipelines with `load_textual_inversion` in diffusers -> encoder -> suffix.

The suffix follows `text_encoder`, and `learned_embeds` if a concept has two files."""


def encoder_of(key: str, width: int) -> str | None:
    """Our key for the text encoder that a file calls `key`; None if it names no encoder.

    If the width belongs to another encoder, the width decides.
    """
    if key.endswith(OUTPUT_SUFFIX):
        encoder = encoder_of(key.removesuffix(OUTPUT_SUFFIX), width)
        return encoder and encoder + OUTPUT_SUFFIX
    if key in UNNAMED:
        return encoder_of_width(width)
    key = ONETRAINER.get(key, key)
    if key not in WIDTHS:
        return None
    return key if width == WIDTHS[key] else _ENCODER_OF_WIDTH.get(width, key)


def encoder_of_width(width: int) -> str:
    """The most likely text encoder for rows of this width."""
    return _ENCODER_OF_WIDTH.get(width, "clip_l")


def encoders_of_widths(widths: Sequence[int]) -> tuple[str, ...] | None:
    """The text encoders of these widths if a family has exactly these; else None."""
    encoders = tuple(_ENCODER_OF_WIDTH.get(width, "") for width in widths)
    distinct = len(widths) > 1 and len(set(encoders)) == len(widths)
    return encoders if distinct and frozenset(encoders) in FAMILIES_OF_ENCODERS else None


def is_known_width(width: int) -> bool:
    """Whether there is a text encoder of this width."""
    return width in _ENCODER_OF_WIDTH or width in WIDTHS.values()


def encoder_order(encoder: str) -> tuple[int, int, str]:
    """Sort key for encoders, their layers and outputs: one order for all files."""
    order = list(WIDTHS)
    plain = base_encoder(encoder)
    return order.index(plain) if plain in order else len(order), encoder != plain, encoder


def families_of(widths: Mapping[str, int]) -> tuple[str, ...]:
    """The model families with text encoders of these keys and widths; empty if there is none."""
    if any(WIDTHS.get(base_encoder(key)) != width for key, width in widths.items()):
        return ()
    return FAMILIES_OF_ENCODERS.get(frozenset(base_encoder(key) for key in widths), ())


def base_encoder(key: str) -> str:
    """The text encoder's key, without a layer or `_out`."""
    return key.split(".")[0].removesuffix(OUTPUT_SUFFIX)


def is_layered(vectors: Iterable[str]) -> bool:
    """Whether a concept has rows for each layer of a denoiser."""
    return any("." in key for key in vectors)


def layers_in(vectors: Iterable[str]) -> list[str]:
    """The layers that a layered concept has rows for, in its order."""
    return list(dict.fromkeys(key.partition(".")[2] for key in vectors))


def of_layer(vectors: Mapping[str, Rows], encoder: str, layer: str) -> Rows:
    """A concept's rows for one layer, or those of the text encoder if it is not layered."""
    own = f"{encoder}.{layer}"
    return vectors[own if own in vectors else encoder]


def has_xti_layers(names: Iterable[str]) -> bool:
    """Whether these are the 16 layers of XTI, of one text encoder."""
    return sorted(name.split(".")[-1] for name in names) == sorted(XTI_LAYERS)
