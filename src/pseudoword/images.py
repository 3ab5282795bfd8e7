"""Picture files -> upright RGB pictures, whatever their format, mode and orientation."""

import contextlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pseudoword.errors import PictureError

SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".jxl"),
}
"""File names taken for pictures when a folder is searched; a file named outright is always read."""

MASK = "-mask"
"""`cat-mask.png` is the mask of `cat.jpg`, not a picture."""

HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def find(pictures: Sequence[Path]) -> list[Path]:
    """The picture files meant by `pictures`: a folder, or several files, in a stable order.

    Raises:
        PictureError: a path does not exist, or a folder holds no pictures.
    """
    found: list[Path] = []
    for path in pictures:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if _looks_like_one(p))
            stems = {p.stem for p in inside}
            inside = [p for p in inside if p.stem.removesuffix(MASK) not in stems - {p.stem}]
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


def open_picture(path: Path, background: str = "white") -> Image.Image:
    """Any picture as upright RGB; transparency becomes `background`, animation its first frame.

    Raises:
        PictureError: the file is not a readable picture; the message names it.
    """
    return decode(read(path), path, background)[0]


def read(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        PictureError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror or error}") from error


def decode(data: bytes, path: Path, background: str) -> tuple[Image.Image, Image.Image | None]:
    """The bytes of the picture file `path` as upright RGB, and its alpha (mode L) if it has any.

    Raises:
        PictureError: they are not a readable picture; the message names the file.
    """
    if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
        _read_heif(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # broken EXIF blocks don't matter here
            opened = Image.open(io.BytesIO(data))
            opened.load()
            return _rgb(_upright(opened), background)
    except UnidentifiedImageError as error:
        raise PictureError(
            f"{path} is not a picture, whatever its name says. Remove it, or save it as PNG."
        ) from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path} is too large to be read. Save it smaller. ({error})") from error
    except Exception as error:  # decoders raise all sorts of things on damaged bytes
        raise PictureError(
            f"{path} is damaged or unreadable ({error}). Replace it, or take it out."
        ) from error


def _looks_like_one(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _read_heif(path: Path) -> None:
    """Teach Pillow the format of phone cameras, which needs a library of its own."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise PictureError(
            f"{path} is a HEIC picture. Install what reads it (pip install pseudoword[heic]), or "
            "save it as JPEG."
        ) from error
    register_heif_opener()


def _upright(picture: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # a broken EXIF block says nothing: keep the picture as is
        return ImageOps.exif_transpose(picture)
    return picture


def _rgb(picture: Image.Image, background: str) -> tuple[Image.Image, Image.Image | None]:
    if picture.mode.startswith("I") or picture.mode == "F":  # 16-bit grey; convert() would clip it
        values = np.nan_to_num(np.asarray(picture, dtype=np.float64), posinf=0.0, neginf=0.0)
        top = 65535.0 if picture.mode.startswith("I") else max(1.0, float(values.max()))
        eight_bit = (values / top * 255).clip(0, 255).astype(np.uint8)
        return Image.fromarray(eight_bit).convert("RGB"), None
    if picture.has_transparency_data:
        with_alpha = picture.convert("RGBA")
        behind = Image.new("RGBA", with_alpha.size, background)
        return Image.alpha_composite(behind, with_alpha).convert("RGB"), with_alpha.getchannel("A")
    return picture.convert("RGB"), None
