"""What will happen to a file in other tools, said before the user finds out."""

from pseudoword.concept import Concept
from pseudoword.formats import keys

PICTURES = ("chunk", "pixels")


def outlook(
    stem: str, container: str, layout: str, names: tuple[str, ...], word: Concept
) -> dict[str, str]:
    """Tool -> what it does with a file.

    Args:
        stem: the file's name without its ending.
        container: `safetensors`, `torch`, `chunk` or `pixels`.
        layout: a name in `layouts.LAYOUTS`.
        names: the names of the file's tensors.
        word: the word in it, or the first of several.
    """
    return {
        "diffusers": _diffusers(container, layout, names, word),
        "AUTOMATIC1111": _a1111(stem, container, layout, names, word),
        "ComfyUI": _comfyui(stem, container, layout, names, word),
    }


def _special(layout: str, word: Concept) -> str | None:
    if layout == "bundle":
        return "only through the LoRA they are in; or convert each word"
    if keys.layered(word.vectors):
        return "cannot use words with rows per layer"
    if any(key.endswith(keys.OUTPUT) for key in word.vectors):
        return "cannot use output embeddings; OneTrainer can"
    return None


def _several(layout: str, names: tuple[str, ...], word: Concept) -> bool:
    return layout in ("diffusers", "native") and len(names) > len(word.vectors)


def _diffusers(container: str, layout: str, names: tuple[str, ...], word: Concept) -> str:
    if container in PICTURES:
        return "reads no pictures; convert with --format diffusers"
    special = _special(layout, word)
    if special:
        return special
    if _several(layout, names, word):
        return "refuses files of several words; convert each to a file of its own"
    if len(word.vectors) > 1 and len(names) > 1:
        return (
            "takes each tensor with its own text_encoder and tokenizer; "
            "--format diffusers writes a file for each"
        )
    if len(word.vectors) > 1:
        return "load each of the two files with its own text_encoder and tokenizer"
    if layout == "a1111" or names == (word.token,):
        return f"load_textual_inversion(file), then write {word.token}"
    return f"load_textual_inversion(file, token={word.token!r}), then write {word.token}"


def _a1111(stem: str, container: str, layout: str, names: tuple[str, ...], word: Concept) -> str:
    special = _special(layout, word)
    if special:
        return special
    if _several(layout, names, word):
        return "refuses files of several words; convert each to a file of its own"
    encoders = set(word.vectors)
    if encoders == {"clip_l", "clip_g"}:
        if set(names) == encoders:
            return f"SDXL: copy into embeddings/, then write {stem}"
        return "does not put two files together; convert with --format sdxl"
    if encoders <= {"clip_l", "clip_h"} and len(encoders) == 1:
        written = word.token if container in PICTURES else stem
        kind = "SD 2" if "clip_h" in encoders else "SD 1"
        return f"{kind}: copy into embeddings/, then write {written}; skipped on other models"
    return "skips it: only words for SD 1, SD 2 and SDXL"


def _comfyui(stem: str, container: str, layout: str, names: tuple[str, ...], word: Concept) -> str:
    if container in PICTURES:
        return "reads no pictures; convert with --format comfyui"
    special = _special(layout, word)
    if special:
        return special
    how = f"copy into models/embeddings/, then write embedding:{stem}"
    if _several(layout, names, word):
        return f"takes the first of its words only, silently: {how}"
    if len(word.vectors) > 1 and set(names) != set(word.vectors):
        return "knows other names for these encoders; convert with --format comfyui"
    if layout == "onetrainer" and any(name in keys.ONETRAINER for name in names):
        return f"falls through to the only tensor: {how}; safer with --format comfyui"
    return f"{how}; dropped with a warning where no width fits"
