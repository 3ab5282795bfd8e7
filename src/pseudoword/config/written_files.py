"""The files that commands write: which formats there are, and what their names end in."""

import os
from collections.abc import Mapping
from pathlib import Path

from pseudoword.errors import SettingsError
from pseudoword.lookup import expand_home
from pseudoword.text import brief

PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Suffix of a picture -> Pillow's name of the format to write."""

ENDINGS: Mapping[str, str] = {
    "native": ".safetensors",
    "diffusers": ".safetensors",
    "diffusers-bin": ".bin",
    "a1111": ".pt",
    "a1111-png": ".png",
    "a1111-pixels": ".png",
    "a1111-webp": ".webp",
    "kohya": ".safetensors",
    "sdxl": ".safetensors",
    "onetrainer": ".safetensors",
    "comfyui": ".safetensors",
    "xti": ".safetensors",
}
"""Format of an embedding -> suffix of its files."""

FORMAT_OF_ENDING = {
    ".safetensors": "native",
    ".pt": "a1111",
    ".bin": "diffusers-bin",
    ".png": "a1111-png",
    ".webp": "a1111-webp",
}
"""Suffix of an embedding -> format to write, when no format is named."""

HOLD_A_PICTURE = (".png", ".webp")
"""Suffixes of the formats of embeddings that are pictures."""


def picture_format(path: Path) -> str:
    """Pillow's name of the format for the path's suffix.

    Raises:
        SettingsError: no format has this suffix.
    """
    if path.suffix.lower() not in PICTURE_FORMATS:
        raise SettingsError(f"--out {path}: give a file that ends in .png, .jpg or .webp")
    return PICTURE_FORMATS[path.suffix.lower()]


def embedding_format(
    out: Path, name: str | None, picture: Path | None, *, into_folder: bool
) -> str:
    """The format to write an embedding in: the named one, or the one for the output's suffix.

    Args:
        out: the file, or the folder for the files.
        name: the format that was asked for.
        picture: what it shall show.
        into_folder: whether `out` is a folder.

    Raises:
        SettingsError: there is no such format, or the suffix or the picture does not go with it.
    """
    if name is None:
        kind = "native" if into_folder else FORMAT_OF_ENDING.get(out.suffix.lower(), "")
        if not kind:
            raise SettingsError(
                f"{out}: give a file that ends in {', '.join(FORMAT_OF_ENDING)}, a folder, or "
                "--format"
            )
    elif name not in ENDINGS:
        raise SettingsError(f"--format {brief(name)}: choose one of {', '.join(ENDINGS)}")
    else:
        kind = name
        if not into_folder and out.suffix.lower() != ENDINGS[name]:
            raise SettingsError(f"{out}: --format {name} makes files that end in {ENDINGS[name]}")
    if picture is not None and ENDINGS[kind] not in HOLD_A_PICTURE:
        raise SettingsError(
            f"--picture {brief(str(picture))} has no effect with the format {kind}, which is not a "
            "picture"
        )
    return kind


def is_folder(out: str | Path) -> bool:
    """Whether words are written into a folder called `out`, or a file: a folder has a slash at its
    end, or is there, or has no suffix."""
    path = expand_home(str(out))
    return str(out).endswith(("/", os.sep)) or path.is_dir() or not path.suffix
