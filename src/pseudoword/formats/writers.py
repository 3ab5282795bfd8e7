"""Write embedding files for other tools: one entry per format, with what it cannot hold.

All safetensors files also hold our metadata, which other tools ignore.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.formats import keys, native, pictures, safetensors_file, torch_file
from pseudoword.formats.file_kinds import is_network_weight
from pseudoword.formats.grouping import BUNDLE_PREFIX, is_like_a_prompt
from pseudoword.formats.token_picture import token_picture

FileParts = dict[str, bytes]
"""What is appended to the file's stem (`""`, or `_2` for a second file) -> bytes."""


@dataclass(frozen=True)
class Writer:
    """A format that concepts can be written in; its ending is in `config.written_files`."""

    title: str
    """what the tool is called"""
    write: Callable[[Concept, Image.Image | None], FileParts]
    refuses: Callable[[Concept], str | None]
    """why the format cannot hold this concept, or None"""


def a1111_items(concept: Concept) -> dict[str, object]:
    """A concept as AUTOMATIC1111's dict, with our metadata, which AUTOMATIC1111 ignores."""
    provenance = concept.shared
    steps = provenance.get("steps", "")
    (rows,) = concept.vectors.values()
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": _as_float32(rows)},
        "name": concept.token,
        "step": int(steps) if steps.isdecimal() and len(steps) < 16 else 0,
        "sd_checkpoint": provenance.get("base_hash"),
        "sd_checkpoint_name": provenance.get("base"),
        torch_file.METADATA_KEY: native.facts_of(concept),
    }


def _as_float32(rows: Tensor) -> Tensor:
    return rows.detach().cpu().float().contiguous().clone()


def _has_plain_keys(concept: Concept) -> bool:
    """Whether every key is a text encoder, without layers and output embeddings."""
    return not (keys.is_layered(concept.vectors) or keys.is_output(concept.vectors))


def _sd_only(concept: Concept) -> str | None:
    if set(concept.vectors) in ({"clip_l"}, {"clip_h"}):
        return None
    return f"holds Stable Diffusion 1 and 2 words; this one has {', '.join(concept.vectors)}"


def _sdxl_only(concept: Concept) -> str | None:
    if set(concept.vectors) == {"clip_l", "clip_g"}:
        return None
    return f"holds clip_l and clip_g; the word has {', '.join(concept.vectors)}"


def _diffusers_refuses(concept: Concept) -> str | None:
    if _has_plain_keys(concept) and (len(concept.vectors) == 1 or _diffusers_suffixes(concept)):
        return None
    return (
        f"holds one text encoder, SDXL's or FLUX's two; the word has {', '.join(concept.vectors)}"
    )


def _diffusers_bin_refuses(concept: Concept) -> str | None:
    """The file names no encoder, so the width must say it, and the token must be known as one."""
    for encoder, width in concept.widths.items():
        if keys.WIDTHS.get(encoder) == width and keys.encoder_of_width(width) != encoder:
            return (
                f"does not say which encoder its rows are for, and {encoder} is not the usual one"
            )
        if keys.encoder_of(concept.token, width):
            return "has no place for a word that is called like a text encoder"
        if is_like_a_prompt(len(concept.vectors[encoder]), width):
            return (
                f"has no place to say that {len(concept.vectors[encoder])} rows are a word, not an "
                "encoded prompt"
            )
    if concept.token.startswith(BUNDLE_PREFIX) or is_network_weight(concept.token):
        return "has no place for a word that is called like a part of a network"
    return _diffusers_refuses(concept)


def _diffusers_suffixes(concept: Concept) -> Mapping[str, str]:
    """Text encoder -> what follows `learned_embeds`."""
    if len(concept.vectors) == 1:
        return dict.fromkeys(concept.vectors, "")
    return keys.diffusers_suffixes(concept.vectors) or {}


def _plain_keys_only(concept: Concept) -> str | None:
    if _has_plain_keys(concept):
        return None
    return "holds one tensor per text encoder, no layers, and no output embeddings"


def _stable_diffusion_only(concept: Concept) -> str | None:
    if _sd_only(concept) and _sdxl_only(concept):
        return f"holds words for SD 1, SD 2 and SDXL; this one has {', '.join(concept.vectors)}"
    return None


def _onetrainer_refuses(concept: Concept) -> str | None:
    return "has no layers" if keys.is_layered(concept.vectors) else None


def _xti_refuses(concept: Concept) -> str | None:
    if keys.has_xti_layers(concept.vectors) and all(
        k.startswith("clip_l.") for k in concept.vectors
    ):
        return None
    return "holds 16 layers of clip_l"


def _native(concept: Concept, _picture: Image.Image | None) -> FileParts:
    return {"": native.dump(concept)}


def _diffusers(concept: Concept, _picture: Image.Image | None) -> FileParts:
    return {
        suffix: native.dump_part(concept, encoder)
        for encoder, suffix in _diffusers_suffixes(concept).items()
    }


def _diffusers_bin(concept: Concept, _picture: Image.Image | None) -> FileParts:
    return {
        suffix: torch_file.write({concept.token: _as_float32(concept.vectors[encoder])})
        for encoder, suffix in _diffusers_suffixes(concept).items()
    }


def _a1111(concept: Concept, _picture: Image.Image | None) -> FileParts:
    if len(concept.vectors) > 1:
        tensors = {key: _as_float32(concept.vectors[key]) for key in ("clip_g", "clip_l")}
        metadata = torch_file.metadata_tensor({**native.facts_of(concept), "token": concept.token})
        return {"": torch_file.write({**tensors, torch_file.METADATA_KEY: metadata})}
    return {"": torch_file.write(a1111_items(concept))}


def _chunk(concept: Concept, picture: Image.Image | None) -> FileParts:
    return {"": pictures.write_chunk(picture or token_picture(concept), a1111_items(concept))}


def _pixels(concept: Concept, picture: Image.Image | None) -> FileParts:
    return {"": pictures.write_hidden(picture or token_picture(concept), a1111_items(concept))}


def _webp(concept: Concept, picture: Image.Image | None) -> FileParts:
    return {
        "": pictures.write_hidden(picture or token_picture(concept), a1111_items(concept), "WEBP")
    }


def _kohya(concept: Concept, _picture: Image.Image | None) -> FileParts:
    single = len(concept.vectors) == 1
    tensors = {"emb_params" if single else key: rows for key, rows in concept.vectors.items()}
    return {"": safetensors_file.write(tensors, native.metadata_of(concept) | _modelspec(concept))}


def _modelspec(concept: Concept) -> dict[str, str]:
    """The ModelSpec metadata that kohya's scripts write."""
    resolution = concept.provenance.get("resolution", "")
    large = resolution.isdecimal() and int(resolution) >= 768
    if concept.family == "sd3":
        architecture, side = "stable-diffusion-3", 1024
    elif "clip_g" in concept.vectors:
        architecture, side = "stable-diffusion-xl-v1-base", 1024
    elif "clip_h" in concept.vectors:
        version, side = ("768-v", 768) if large else ("512", 512)
        architecture = f"stable-diffusion-v2-{version}"
    else:
        architecture, side = "stable-diffusion-v1", 512
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/textual-inversion",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": concept.token,
        "modelspec.trigger_phrase": concept.token,
        "modelspec.resolution": f"{side}x{side}",
    }


def _per_encoder(concept: Concept, _picture: Image.Image | None) -> FileParts:
    return {"": safetensors_file.write(concept.vectors, native.metadata_of(concept))}


def _onetrainer(concept: Concept, _picture: Image.Image | None) -> FileParts:
    names = keys.onetrainer_keys(map(keys.base_encoder, concept.vectors))
    tensors = {}
    for key, rows in concept.vectors.items():
        encoder = keys.base_encoder(key)
        tensors[names[encoder] + key.removeprefix(encoder)] = rows
    return {"": safetensors_file.write(tensors, native.metadata_of(concept))}


def _xti(concept: Concept, _picture: Image.Image | None) -> FileParts:
    tensors = {key.split(".")[1]: rows for key, rows in concept.vectors.items()}
    return {"": safetensors_file.write(tensors, native.metadata_of(concept))}


WRITERS: dict[str, Writer] = {
    "native": Writer("pseudoword", _native, lambda _: None),
    "diffusers": Writer("diffusers, one or two files", _diffusers, _diffusers_refuses),
    "diffusers-bin": Writer("diffusers' older form", _diffusers_bin, _diffusers_bin_refuses),
    "a1111": Writer("AUTOMATIC1111", _a1111, _stable_diffusion_only),
    "a1111-png": Writer("AUTOMATIC1111, in a PNG's text", _chunk, _sd_only),
    "a1111-pixels": Writer("AUTOMATIC1111, hidden in a PNG's pixels", _pixels, _sd_only),
    "a1111-webp": Writer("AUTOMATIC1111, hidden in a WebP's pixels", _webp, _sd_only),
    "kohya": Writer("kohya's scripts, with ModelSpec", _kohya, _stable_diffusion_only),
    "sdxl": Writer("SDXL: clip_l and clip_g", _per_encoder, _sdxl_only),
    "onetrainer": Writer("OneTrainer", _onetrainer, _onetrainer_refuses),
    "comfyui": Writer("ComfyUI's encoder names", _per_encoder, _plain_keys_only),
    "xti": Writer("kohya's layered concepts (XTI)", _xti, _xti_refuses),
}
"""Format name -> writer."""


def encode(concept: Concept, name: str, picture: Image.Image | None = None) -> FileParts:
    """The bytes of `concept` in the format `name`.

    Args:
        concept: the concept.
        name: a name in `WRITERS`.
        picture: what picture formats show; by default the token on a plain picture.

    Raises:
        ConceptError: the format cannot hold this concept.
    """
    writer = WRITERS[name]
    reason = writer.refuses(concept)
    if reason:
        possible = ", ".join(n for n, w in WRITERS.items() if not w.refuses(concept))
        raise ConceptError(f"{concept.token}: {name} {reason}. Possible formats: {possible}.")
    return writer.write(concept, picture)


def part_files(path: Path, parts: FileParts) -> dict[Path, bytes]:
    """The parts of a format by the file they are written to; the first is `path`."""
    return {
        path.with_name(f"{path.stem}{suffix}{path.suffix}"): data for suffix, data in parts.items()
    }
