"""Picture files -> training examples, never squashed, never sideways."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pseudoword.errors import PictureError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jxl"}
"""File names taken for pictures when a folder is searched; a file named outright is always read."""

TRANSFORM = "exif,white,short-side-lanczos,centre-crop"
"""Names what `open_picture` and `fit` do to a picture; part of the key of cached latents."""


@dataclass(frozen=True)
class Example:
    """One training picture.

    Attributes:
        path: where it was read from.
        pixels: `[3, H, W]` float32 in [-1, 1].
        filewords: the text of the `.txt` file beside it, else its file name as words.
        digest: SHA-256 of the file's bytes.
        original: (height, width) of the upright picture in pixels, before it was scaled.
        corner: (top, left) in pixels where the crop begins in the scaled picture.
    """

    path: Path
    pixels: Tensor
    filewords: str
    digest: str
    original: tuple[int, int]
    corner: tuple[int, int]

    @property
    def framing(self) -> tuple[int, ...]:
        """How the picture was cut, as `families.base.Framing` lists it."""
        return (*self.original, *self.corner, *self.pixels.shape[-2:])


def find(pictures: Sequence[Path]) -> list[Path]:
    """The picture files meant by `pictures`: a folder, or several files, in a stable order.

    Raises:
        PictureError: a path does not exist, or a folder holds no pictures.
    """
    found: list[Path] = []
    for path in pictures:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if _looks_like_one(p))
            if not inside:
                raise PictureError(
                    f"{path} holds no pictures. Three to five are enough; known file types: "
                    f"{', '.join(sorted(SUFFIXES))}."
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise PictureError(f"{path} does not exist. Give a folder of pictures, or the files.")
    if not found:
        raise PictureError("no pictures given. Give a folder of pictures, or the files.")
    return found


def load(path: Path, resolution: int) -> Example:
    """Read one picture as a square of `resolution` pixels, centre-cropped.

    Raises:
        PictureError: the file is not a readable picture; the message names it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror or error}") from error
    whole = open_picture(path)
    picture = fit(whole, resolution)
    pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)
    scale = resolution / min(whole.size)
    left, top = (round((side * scale - resolution) / 2) for side in whole.size)
    return Example(
        path,
        pixels.contiguous(),
        _filewords(path),
        hashlib.sha256(data).hexdigest(),
        original=(whole.height, whole.width),
        corner=(top, left),
    )


def open_picture(path: Path) -> Image.Image:
    """Open any picture as upright RGB; transparency becomes white, animation its first frame.

    Raises:
        PictureError: the file is not a readable picture; the message names it.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            upright = ImageOps.exif_transpose(opened)
            return _rgb(upright)
    except UnidentifiedImageError as error:
        raise PictureError(
            f"{path} is not a picture, whatever its name says. Remove it, or save it as PNG."
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise PictureError(
            f"{path} is damaged or unreadable ({error}). Replace it, or take it out."
        ) from error


def fit(picture: Image.Image, resolution: int) -> Image.Image:
    """Scale the short side to `resolution` and cut the centre square; nothing is squashed."""
    return ImageOps.fit(picture, (resolution, resolution), Image.Resampling.LANCZOS)


def _looks_like_one(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":  # 16-bit grey; convert() would clip it
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if picture.mode.startswith("I") else max(1.0, float(values.max()))
        return Image.fromarray((values / top * 255).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in picture.info:
        with_alpha = picture.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return picture.convert("RGB")


def _filewords(path: Path) -> str:
    sidecar = path.with_suffix(".txt")
    if sidecar.is_file():
        return sidecar.read_text(encoding="utf-8", errors="replace").strip()
    return path.stem.replace("_", " ").replace("-", " ").strip()
