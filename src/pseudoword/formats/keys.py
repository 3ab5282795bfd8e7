"""What each tool calls a text encoder. `Concept` uses ComfyUI's keys; others are translated.

Layered concepts (XTI) have rows per cross-attention layer: `clip_l.IN01` … `clip_l.OUT11`.
OneTrainer's output embeddings go into the encoder's output, not its input: keys that end in `_out`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

Rows = TypeVar("Rows")


class TextEncoderKey(NamedTuple):
    """What is known of a text encoder by ComfyUI's name for it."""

    width: int
    """numbers per row"""
    comfyui: bool = True
    """whether ComfyUI looks for words in prompts for it, not only knows the key"""
    onetrainer: str = ""
    """OneTrainer's key, where it differs"""


class ModelFamily(NamedTuple):
    """What is known of a family of base models, without a model."""

    title: str
    """what people call its models"""
    encoders: Sequence[Sequence[str]]
    """the text encoders of its models, in diffusers' order; some have others than others"""
    loads_words: bool = False
    """whether its pipelines in diffusers have `load_textual_inversion`"""


KNOWN: Mapping[str, TextEncoderKey] = {
    "clip_l": TextEncoderKey(768),
    "clip_h": TextEncoderKey(1024),
    "clip_g": TextEncoderKey(1280),
    "t5xxl": TextEncoderKey(4096, onetrainer="t5"),
    "umt5xxl": TextEncoderKey(4096, comfyui=False),
    "pile_t5xl": TextEncoderKey(2048, comfyui=False),
    "llama": TextEncoderKey(4096),
    "gemma2_2b": TextEncoderKey(2304, comfyui=False, onetrainer="gemma"),
    "gemma3_4b": TextEncoderKey(2560, comfyui=False),
    "gemma3_12b": TextEncoderKey(3840, comfyui=False),
    "qwen25_3b": TextEncoderKey(2048, comfyui=False),
    "qwen25_7b": TextEncoderKey(3584, comfyui=False),
    "qwen3_06b": TextEncoderKey(1024),
    "qwen3_2b": TextEncoderKey(2048, comfyui=False),
    "qwen3_4b": TextEncoderKey(2560),
    "qwen3_8b": TextEncoderKey(4096),
    "qwen3vl_4b": TextEncoderKey(2560),
    "qwen3vl_8b": TextEncoderKey(4096),
    "mistral3_24b": TextEncoderKey(5120),
}
"""ComfyUI's key of a text encoder -> what is known of it, in the order of keys in our files."""

WIDTHS: Mapping[str, int] = {key: known.width for key, known in KNOWN.items()}
"""ComfyUI's key of a text encoder -> numbers per row."""

ONETRAINER = {known.onetrainer: key for key, known in KNOWN.items() if known.onetrainer}
"""OneTrainer's key -> ours, where they differ."""

UNNAMED = ("emb_params", "emp_params")
"""Keys of kohya and OneTrainer (sic) that name no encoder; the width decides which one it is."""

OUTPUT_SUFFIX = "_out"

XTI_LAYERS = (
    *("IN01", "IN02", "IN04", "IN05", "IN07", "IN08", "MID"),
    *(f"OUT{i:02}" for i in range(3, 12)),
)
"""XTI's names for the cross-attention layers of Stable Diffusion 1's U-Net, in order."""

_ENCODER_OF_WIDTH = {
    WIDTHS[key]: key
    for key in (
        *("clip_l", "clip_h", "clip_g", "t5xxl", "pile_t5xl"),
        *("gemma2_2b", "qwen3_4b", "qwen25_7b", "gemma3_12b", "mistral3_24b"),
    )
}
"""Width -> the encoder that is meant where a file names none. Each width of `KNOWN` has one."""

MODEL_FAMILIES: Mapping[str, ModelFamily] = {
    "sd": ModelFamily("SD 1.x or SD 2.x", [("clip_l",), ("clip_h",)], loads_words=True),
    "sdxl": ModelFamily("SDXL", [("clip_l", "clip_g")], loads_words=True),
    "sd3": ModelFamily("SD 3", [("clip_l", "clip_g", "t5xxl"), ("clip_l", "clip_g")]),
    "flux": ModelFamily("FLUX.1", [("clip_l", "t5xxl")], loads_words=True),
    "chroma": ModelFamily("Chroma", [("t5xxl",)], loads_words=True),
    "pixart": ModelFamily("PixArt", [("t5xxl",)]),
    "sana": ModelFamily("Sana", [("gemma2_2b",)]),
    "lumina2": ModelFamily("Lumina 2", [("gemma2_2b",)]),
    "qwen-image": ModelFamily("Qwen-Image", [("qwen25_7b",)]),
    "krea2": ModelFamily("Krea 2", [("qwen3vl_4b",)]),
    "longcat-image": ModelFamily("LongCat-Image", [("qwen25_7b",)]),
    "z-image": ModelFamily("Z-Image", [("qwen3_4b",)]),
    "ovis-image": ModelFamily("Ovis-Image", [("qwen3_2b",)]),
    "flux2": ModelFamily("FLUX.2", [("qwen3_4b",), ("qwen3_8b",), ("mistral3_24b",)]),
    "auraflow": ModelFamily("AuraFlow", [("pile_t5xl",)]),
    "hidream": ModelFamily("HiDream", [("clip_l", "clip_g", "t5xxl", "llama")]),
    "hunyuan-video": ModelFamily("HunyuanVideo", [("llama", "clip_l")]),
    "ideogram4": ModelFamily("Ideogram 4", [("qwen3vl_8b",)]),
    "qwen-image-2.1": ModelFamily("Qwen-Image 2.1", [("qwen3vl_8b",)]),
    "omnigen2": ModelFamily("OmniGen2", [("qwen25_3b",)]),
    "wan": ModelFamily("Wan", [("umt5xxl",)]),
    "wuerstchen": ModelFamily("Würstchen", [("clip_g",)]),
}
"""Model family -> what is known of it, also of those whose words are only read and written."""


def _families_of_encoders() -> Mapping[frozenset[str], tuple[str, ...]]:
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for name, family in MODEL_FAMILIES.items():
        for encoders in map(frozenset, family.encoders):
            found[encoders] = (*found.get(encoders, ()), name)
    return found


FAMILIES_OF_ENCODERS = _families_of_encoders()
"""Text encoders -> the model families that have exactly these."""

ALSO_READ_BY: Mapping[frozenset[str], tuple[str, ...]] = {
    frozenset({"t5xxl"}): ("sd3", "flux"),
}
"""Text encoders -> the families with more encoders that read a word without rows for the others.

Other tools make words for T5 alone. SD 3 and FLUX.1 read most of a prompt with it."""


def diffusers_suffixes(
    encoders: Iterable[str], family: str | None = None
) -> Mapping[str, str] | None:
    """What follows `text_encoder` in diffusers' pipelines for each of a word's encoders.

    The same follows `learned_embeds` if a word has two files. None if no pipeline loads such words.
    A word of unknown family with rows for T5 alone is FLUX.1's: its second encoder is Chroma's only
    one.
    """
    own = frozenset(encoders)
    likely = (*ALSO_READ_BY.get(own, ()), *FAMILIES_OF_ENCODERS.get(own, ()))
    for name in likely if family is None else (family,):
        if name in MODEL_FAMILIES and MODEL_FAMILIES[name].loads_words:
            for each in MODEL_FAMILIES[name].encoders:
                if own <= set(each):
                    suffixes = zip(each, ("", "_2"), strict=False)
                    return {encoder: suffix for encoder, suffix in suffixes if encoder in own}
    return None


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


def onetrainer_keys(encoders: Iterable[str]) -> dict[str, str]:
    """OneTrainer's key for each of a word's text encoders."""
    own = set(encoders)
    if own in ({"clip_l"}, {"clip_h"}):
        return dict.fromkeys(own, "emp_params")
    theirs = {ours: key for key, ours in ONETRAINER.items()}
    return {encoder: theirs.get(encoder, encoder) for encoder in own}


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
    return width in _ENCODER_OF_WIDTH


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


def read_by(widths: Mapping[str, int]) -> tuple[str, ...]:
    """The model families that can read a word with rows of these widths."""
    families = families_of(widths)
    return families and (*families, *ALSO_READ_BY.get(frozenset(widths), ()))


def likely_family(widths: Mapping[str, int]) -> str | None:
    """The family that a word of these widths is for, if nothing else says it; None if it is open.

    A word for SDXL's encoders is SDXL's: hardly anybody uses SD 3 without its T5.
    """
    families = families_of(widths)
    return families[0] if len(families) == 1 or "sdxl" in families else None


def base_encoder(key: str) -> str:
    """The text encoder's key, without a layer or `_out`."""
    return key.split(".")[0].removesuffix(OUTPUT_SUFFIX)


def is_output(vectors: Iterable[str]) -> bool:
    """Whether a concept has rows for the output of a text encoder."""
    return any(key.endswith(OUTPUT_SUFFIX) for key in vectors)


def is_layered(vectors: Iterable[str]) -> bool:
    """Whether a concept has rows for each layer of a denoiser."""
    return any("." in key for key in vectors)


def layers_in(vectors: Iterable[str]) -> list[str]:
    """The layers that a layered concept has rows for, in its order."""
    return list(dict.fromkeys(key.partition(".")[2] for key in vectors if is_layered([key])))


def of_layer(vectors: Mapping[str, Rows], encoder: str, layer: str) -> Rows:
    """A concept's rows for one layer, or those of the text encoder if it is not layered."""
    own = f"{encoder}.{layer}"
    return vectors[own if own in vectors else encoder]


def has_xti_layers(names: Iterable[str]) -> bool:
    """Whether these are the 16 layers of XTI, of one text encoder."""
    return sorted(name.split(".")[-1] for name in names) == sorted(XTI_LAYERS)
